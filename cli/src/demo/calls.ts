import type { Tensor, Tier } from '@nearfar/protocol';

/** What one kind of caller asks for. */
export interface CallerKind {
  readonly name: string;
  /** How its requests reach the mesh, for the table. */
  readonly network: string;
  readonly sloMs: number;
  readonly privacy: 'any' | 'no_pool' | 'local_only';
  /** Whether it asks for the accuracy of the best model. */
  readonly isDemanding: boolean;
}

/** One request before it is made. */
export interface Call {
  readonly kind: CallerKind;
  readonly task: string;
  readonly input: Tensor;
  readonly minAccuracy: number;
}

/** One request after it ended. */
export type CallResult =
  | {
      readonly status: 'answered';
      readonly call: Call;
      readonly tier: Tier;
      readonly variant: string;
      /** Share of right answers of the variant, 0 to 1. */
      readonly accuracy: number;
      /** The model's raw output. */
      readonly scores: readonly number[];
      readonly predictedMs: number;
      /** On the caller's own clock. */
      readonly totalMs: number;
      readonly costUsd: number;
    }
  | { readonly status: 'failed'; readonly call: Call; readonly code: string; readonly message: string };

export type AnsweredCall = Extract<CallResult, { status: 'answered' }>;
