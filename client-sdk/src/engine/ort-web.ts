import { MeshError } from '@nearfar/protocol';
import type { InferenceSession } from 'onnxruntime-web';
import type { Engine, EngineStart } from './messages.ts';
import { fromOrt, toOrt } from './ort-tensors.ts';

/** ONNX models by onnxruntime-web: its wasm build on the CPU, its WebGPU build on a GPU. */
export async function createOrtEngine({ engine, assetBase }: EngineStart): Promise<Engine> {
  const isWebGpu = engine === 'ort-webgpu';
  const ort = isWebGpu ? await import('onnxruntime-web/webgpu') : await import('onnxruntime-web/wasm');
  // Flags hold only when they are set before the first session. A prefix must be an absolute URL (onnxruntime#23515).
  if (assetBase !== undefined) ort.env.wasm.wasmPaths = assetBase;
  const sessions = new Map<string, InferenceSession>();
  return {
    async load(session, { files }) {
      const [entry, ...others] = files;
      if (entry === undefined) throw new MeshError('MESH_VARIANT_FAILED', 'The variant has no files');
      const executionProviders = [isWebGpu ? 'webgpu' : 'wasm'];
      const created = await ort.InferenceSession.create(entry.bytes, {
        executionProviders,
        // Weights in files of their own, by the names that the model calls them.
        ...(others.length > 0 && {
          externalData: others.map(({ path, bytes }) => ({ path, data: bytes })),
        }),
      });
      await sessions.get(session)?.release();
      sessions.set(session, created);
    },

    async run(session, tensors) {
      const loaded = sessions.get(session);
      if (loaded === undefined) throw new MeshError('MESH_EXECUTION_FAILED', `"${session}" is not loaded`);
      const feeds = Object.fromEntries(tensors.map((tensor) => [tensor.name, toOrt(tensor, ort.Tensor)]));
      const results = await loaded.run(feeds);
      return Promise.all(
        loaded.outputNames.map(async (name) => {
          const result = results[name];
          if (result === undefined) {
            throw new MeshError('MESH_EXECUTION_FAILED', `The model gave no output "${name}"`);
          }
          return await fromOrt(name, result);
        }),
      );
    },

    async unload(session) {
      await sessions.get(session)?.release();
      sessions.delete(session);
    },
  };
}
