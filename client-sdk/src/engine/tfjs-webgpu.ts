import { type GraphModel, loadGraphModel } from '@tensorflow/tfjs-converter';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-webgpu';
import { float32Tensor, float32Values, MeshError, type Tensor } from '@nearfar/protocol';
import type { Engine, ModelFiles } from './messages.ts';

interface Session {
  readonly model: GraphModel;
  readonly outputs: readonly string[];
}

/**
 * tfjs graph models on WebGPU.
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
      const model = await loadGraphModel({ load: async () => artifactsOf(files) });
      sessions.get(session)?.model.dispose();
      sessions.set(session, { model, outputs: files.spec.outputs.map((output) => output.name) });
    },

    async run(session, tensors) {
      const loaded = sessions.get(session);
      if (loaded === undefined) throw new MeshError('MESH_EXECUTION_FAILED', `"${session}" is not loaded`);
      const inputs: tf.NamedTensorMap = {};
      for (const tensor of tensors) {
        inputs[tensor.name] = tf.tensor(float32Values(tensor), [...tensor.shape], 'float32');
      }
      let results: tf.Tensor[] = [];
      try {
        results = [loaded.model.execute(inputs, [...loaded.outputs])].flat();
        return await Promise.all(
          results.map((result, index) => readTensor(loaded.outputs[index] ?? '', result)),
        );
      } finally {
        tf.dispose([inputs, results]);
      }
    },

    async unload(session) {
      sessions.get(session)?.model.dispose();
      sessions.delete(session);
    },
  };
}

async function readTensor(name: string, result: tf.Tensor): Promise<Tensor> {
  return float32Tensor(name, result.shape, Float32Array.from(await result.data<'float32'>()));
}

/** What tfjs wants of a loader, from the files in memory: `model.json` first, then its weights in order. */
function artifactsOf({ files }: ModelFiles): tf.io.ModelArtifacts {
  const [entry, ...shards] = files;
  if (entry === undefined) throw new MeshError('MESH_VARIANT_FAILED', 'The variant has no files');
  const { modelTopology, weightsManifest, signature, format }: tf.io.ModelJSON = JSON.parse(
    new TextDecoder().decode(entry.bytes),
  );
  const named = new Map(shards.map(({ path, bytes }) => [path, bytes]));
  const weights = weightsManifest.flatMap((group) => group.paths).map((path) => bytesOf(named, path));
  return {
    modelTopology,
    weightSpecs: weightsManifest.flatMap((group) => group.weights),
    weightData: weights,
    ...(signature !== undefined && { signature }),
    ...(format !== undefined && { format }),
  };
}

function bytesOf(files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>, path: string): ArrayBuffer {
  const bytes = files.get(path);
  if (bytes === undefined)
    throw new MeshError('MESH_VARIANT_FAILED', `The weights "${path}" of model.json are missing`);
  const { buffer, byteOffset, byteLength } = bytes;
  return byteLength === buffer.byteLength ? buffer : buffer.slice(byteOffset, byteOffset + byteLength);
}
