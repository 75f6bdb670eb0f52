import type { Tensor } from '@tensorflow/tfjs-core';

/** A graph or layers model behind one face. Names and order are the model's own. */
export interface TfjsNetwork {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /** Takes inputs in the order of `inputNames`, gives outputs in that of `outputNames`; the caller disposes of both. */
  execute(inputs: readonly Tensor[]): Promise<readonly Tensor[]>;
  dispose(): void;
}
