import type { EvalRule, Tensor } from '@nearfar/protocol';

/** Inputs to try variants on; each is one row, as one request carries it. */
export interface Rows {
  readonly count: number;
  /** Says what the rows are, so that results can be kept by it. */
  readonly identity: string;
  readonly source: 'eval' | 'samples' | 'noise';
  inputs(index: number): readonly Tensor[];
}

/** Rows with what is right for each. */
export interface LabelledRows extends Rows {
  readonly metric: EvalRule['metric'];
  /** `within`: largest absolute difference that counts as right. */
  readonly tolerance: number | undefined;
  /** Class index, or for `within` the values that the first output should have. */
  label(index: number): number | Float32Array;
}

/** Positions of at most `limit` of `count` rows, spread evenly over all of them: data sets are often sorted by label. */
export function spreadPositions(count: number, limit: number | undefined): number[] {
  const taken = Math.min(count, limit ?? count);
  return Array.from({ length: taken }, (_, index) => Math.floor(((index + 0.5) * count) / taken));
}
