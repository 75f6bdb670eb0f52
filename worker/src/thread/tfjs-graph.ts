import { loadGraphModel } from '@tensorflow/tfjs-converter';
import type { io, NamedTensorMap, Tensor } from '@tensorflow/tfjs-core';
import type { TfjsNetwork } from './tfjs-network.ts';

/** A TensorFlow graph. */
export async function openGraph(artifacts: io.ModelArtifacts): Promise<TfjsNetwork> {
  const model = await loadGraphModel({ load: async () => artifacts });
  const { inputNodes, outputNodes } = model;
  // Whether it has loops or outputs of unknown size, which tfjs computes in another, slower way.
  let isDynamic = false;
  return {
    inputNames: inputNodes,
    outputNames: outputNodes,
    async execute(inputs) {
      const named: NamedTensorMap = {};
      for (const [index, name] of inputNodes.entries()) named[name] = inputs[index] as Tensor;
      if (!isDynamic) {
        try {
          return [model.execute(named, outputNodes)].flat();
        } catch (error) {
          // tfjs finds out itself while it executes, and says so by naming the other method.
          if (!(error instanceof Error) || !error.message.includes('executeAsync')) throw error;
          isDynamic = true;
        }
      }
      return [await model.executeAsync(named, outputNodes)].flat();
    },
    dispose: () => model.dispose(),
  };
}
