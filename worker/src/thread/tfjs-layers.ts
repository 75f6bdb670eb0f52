import { type io, type Tensor, tidy } from '@tensorflow/tfjs-core';
import { loadLayersModel } from '@tensorflow/tfjs-layers';
import type { TfjsNetwork } from './tfjs-network.ts';

/** A Keras model. */
export async function openLayers(artifacts: io.ModelArtifacts): Promise<TfjsNetwork> {
  const model = await loadLayersModel({ load: async () => artifacts });
  return {
    inputNames: model.inputNames,
    outputNames: model.outputNames,
    async execute(inputs) {
      return tidy(() => [model.predictOnBatch([...inputs])].flat()) as Tensor[];
    },
    dispose: () => void model.dispose(),
  };
}
