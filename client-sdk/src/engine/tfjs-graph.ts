import { loadGraphModel } from '@tensorflow/tfjs-converter';
import type { io, NamedTensorMap } from '@tensorflow/tfjs-core';
import type { ModelFiles } from './messages.ts';
import { signatureOrder } from './signature-order.ts';
import type { TfjsModel } from './tfjs-model.ts';

/** A TensorFlow graph. @throws MeshError `MESH_VARIANT_FAILED` when it does not fit the variant's signature. */
export async function loadGraph(
  artifacts: io.ModelArtifacts,
  { inputs, outputs }: ModelFiles['spec'],
): Promise<TfjsModel> {
  const model = await loadGraphModel({ load: async () => artifacts });
  try {
    const { inputNodes, outputNodes } = model;
    const taken = signatureOrder(inputs, inputNodes, 'inputs').map((position) => inputNodes[position] ?? '');
    const given = signatureOrder(outputs, outputNodes, 'outputs').map(
      (position) => outputNodes[position] ?? '',
    );
    return {
      run(tensors) {
        const named: NamedTensorMap = {};
        for (const [index, tensor] of tensors.entries()) named[taken[index] ?? ''] = tensor;
        return [model.execute(named, given)].flat();
      },
      dispose: () => model.dispose(),
    };
  } catch (error) {
    model.dispose();
    throw error;
  }
}
