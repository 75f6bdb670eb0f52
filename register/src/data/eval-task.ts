import type { Manifest, TensorSignature } from '@nearfar/protocol';
import type { InputRows } from './input-rows.ts';

/** What rows have to fit. */
export interface EvalTask {
  readonly labels: readonly string[] | undefined;
  readonly preprocess: Manifest['preprocess'];
  readonly inputs: readonly TensorSignature[];
}

/** Inputs with what is right for each. */
export interface LabelledData extends InputRows {
  /** Index of the right label or, for the metric `within`, the values that the output should have. */
  label(index: number): number | Float32Array;
}
