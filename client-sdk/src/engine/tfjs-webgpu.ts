import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-webgpu';
import { MeshError } from '@nearfar/protocol';
import type { Engine, ModelFiles } from './messages.ts';
import { readTfjsFiles } from './tfjs-files.ts';
import { loadGraph } from './tfjs-graph.ts';
import type { TfjsModel } from './tfjs-model.ts';
import { checkDatatypes, fromTfjs, toTfjs } from './tfjs-tensors.ts';

interface Session {
  readonly model: TfjsModel;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/**
 * tfjs models on WebGPU, graphs and Keras layers.
 *
 * @throws MeshError `MESH_DEVICE_UNAVAILABLE` when there is no WebGPU device in this worker.
 */
export async function createTfjsEngine(): Promise<Engine> {
  // tfjs logs a stack and gives `false` when the backend cannot be initialised.
  if (!(await tf.setBackend('webgpu'))) {
    throw new MeshError('MESH_DEVICE_UNAVAILABLE', 'tfjs found no WebGPU device');
  }
  await tf.ready();
  const sessions = new Map<string, Session>();
  return {
    async load(session, files) {
      const { inputs, outputs } = files.spec;
      checkDatatypes([...inputs, ...outputs]);
      const model = await loadModel(files);
      sessions.get(session)?.model.dispose();
      const names = { inputs: inputs.map(({ name }) => name), outputs: outputs.map(({ name }) => name) };
      sessions.set(session, { model, ...names });
    },

    async run(session, tensors) {
      const loaded = sessions.get(session);
      if (loaded === undefined) throw new MeshError('MESH_EXECUTION_FAILED', `"${session}" is not loaded`);
      const inputs: tf.Tensor[] = [];
      let results: readonly tf.Tensor[] = [];
      try {
        for (const name of loaded.inputs) {
          const tensor = tensors.find((given) => given.name === name);
          if (tensor === undefined) throw new MeshError('MESH_BAD_TENSOR', `Input "${name}" is missing`);
          inputs.push(toTfjs(tensor));
        }
        results = loaded.model.run(inputs);
        return await Promise.all(
          results.map((result, index) => fromTfjs(loaded.outputs[index] ?? '', result)),
        );
      } finally {
        tf.dispose([inputs, [...results]]);
      }
    },

    async unload(session) {
      sessions.get(session)?.model.dispose();
      sessions.delete(session);
    },
  };
}

async function loadModel(files: ModelFiles): Promise<TfjsModel> {
  const { kind, artifacts } = readTfjsFiles(files);
  if (kind === 'graph') return await loadGraph(artifacts, files.spec);
  const { loadLayers } = await import('./tfjs-layers.ts');
  return await loadLayers(artifacts, files.spec);
}
