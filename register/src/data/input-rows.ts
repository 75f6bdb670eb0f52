import { createHash } from 'node:crypto';
import type { Tensor } from '@nearfar/protocol';

/** Inputs to run variants on. A row is what one request carries: a batch of one. */
export interface InputRows {
  readonly count: number;
  /** SHA-256 over all that the rows follow from, so that results can be kept by it. */
  readonly identity: string;
  /**
   * One row, ready for the model; `index` from 0 to below `count`. Each call makes it anew, so that rows need no memory
   * of their own. Throws `MESH_BAD_EVAL_DATA` where a picture turns out to be damaged.
   */
  inputs(index: number): readonly Tensor[];
}

/** The identity of rows that follow from `facts`, which JSON can carry, and from the contents of `files`. */
export function identityOf(facts: readonly unknown[], files: readonly Uint8Array[] = []): string {
  const whole = createHash('sha256').update(JSON.stringify(facts));
  for (const file of files) whole.update(createHash('sha256').update(file).digest());
  return whole.digest('hex');
}
