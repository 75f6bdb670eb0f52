import type { Tier } from '@nearfar/protocol';

// What the bare page of `@nearfar/web` puts into its global scope, as far as the demo uses it. Said here once more,
// since the published command holds the built page but not the package that it was built from.

/** One call, as plain data. */
export interface PageRequest {
  readonly task: string;
  /** Name of the input tensor. */
  readonly name: string;
  readonly shape: number[];
  readonly values: number[];
  readonly sloMs: number;
  readonly minAccuracy: number;
  readonly privacy: 'any' | 'no_pool' | 'local_only';
}

/** What came of it, as plain data. */
export type PageResult =
  | {
      readonly status: 'answered';
      readonly tier: Tier;
      readonly variant: string;
      readonly scores: number[];
      readonly accuracy: number;
      readonly predictedMs: number;
      readonly totalMs: number;
      readonly costUsd: number;
    }
  | { readonly status: 'failed'; readonly code: string; readonly message: string };

/** The page's driver. */
export interface PageDriver {
  /** Opens the mesh that the page came from. */
  open(token: string): unknown;
  /** Makes the page's device ready for the tasks; gives a sentence on what it runs on. */
  prepare(tasks: readonly string[]): Promise<string>;
  call(request: PageRequest): Promise<PageResult>;
}
