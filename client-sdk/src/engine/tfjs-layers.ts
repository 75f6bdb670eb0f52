import type { io, Tensor } from '@tensorflow/tfjs-core';
import { loadLayersModel } from '@tensorflow/tfjs-layers';
import type { ModelFiles } from './messages.ts';
import { signatureOrder } from './signature-order.ts';
import type { TfjsModel } from './tfjs-model.ts';

/** A Keras model. This file is loaded with the first one of a page only: most pages have none. */
export async function loadLayers(
  artifacts: io.ModelArtifacts,
  { inputs, outputs }: ModelFiles['spec'],
): Promise<TfjsModel> {
  const model = await loadLayersModel({ load: async () => artifacts });
  try {
    // As `inputNames` and `outputNames` are, which are empty for sequential models.
    const namesOf = (tensors: typeof model.inputs) => tensors.map(({ sourceLayer }) => sourceLayer.name);
    const inputOrder = signatureOrder(inputs, namesOf(model.inputs), 'inputs');
    const outputOrder = signatureOrder(outputs, namesOf(model.outputs), 'outputs');
    return {
      run(tensors) {
        const given: Tensor[] = [];
        for (const [index, tensor] of tensors.entries()) given[inputOrder[index] ?? index] = tensor;
        const results = [model.predictOnBatch(given)].flat();
        return outputOrder.map((position) => results[position] as Tensor);
      },
      dispose: () => void model.dispose(),
    };
  } catch (error) {
    model.dispose();
    throw error;
  }
}
