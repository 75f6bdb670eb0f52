import type { Tensor } from '@tensorflow/tfjs-core';

/** A loaded tfjs model, graph or layers. */
export interface TfjsModel {
  /** Runs it. Inputs and outputs are in the order of the variant's signature; the caller disposes of both. */
  run(inputs: readonly Tensor[]): readonly Tensor[];
  /** Frees the weights. */
  dispose(): void;
}
