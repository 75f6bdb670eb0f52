import { float32Tensor, float32Values, MeshError } from '@nearfar/protocol';
import type { InferenceSession } from 'onnxruntime-web';
import type { Engine, EngineStart } from './messages.ts';

/** ONNX models by onnxruntime-web: its wasm build on the CPU, its WebGPU build on a GPU. */
export async function createOrtEngine({ engine, assetBase }: EngineStart): Promise<Engine> {
  const isWebGpu = engine === 'ort-webgpu';
  const ort = isWebGpu ? await import('onnxruntime-web/webgpu') : await import('onnxruntime-web/wasm');
  // Flags hold only when they are set before the first session. A prefix must be an absolute URL (onnxruntime#23515).
  if (assetBase !== undefined) ort.env.wasm.wasmPaths = assetBase;
  const sessions = new Map<string, InferenceSession>();
  return {
    async load(session, { files }) {
      const [entry] = files;
      if (entry === undefined) throw new MeshError('MESH_VARIANT_FAILED', 'The variant has no files');
      const executionProviders = [isWebGpu ? 'webgpu' : 'wasm'];
      const created = await ort.InferenceSession.create(entry.bytes, { executionProviders });
      await sessions.get(session)?.release();
      sessions.set(session, created);
    },

    async run(session, tensors) {
      const loaded = sessions.get(session);
      if (loaded === undefined) throw new MeshError('MESH_EXECUTION_FAILED', `"${session}" is not loaded`);
      const feeds = Object.fromEntries(
        tensors.map((tensor) => [
          tensor.name,
          new ort.Tensor('float32', float32Values(tensor), [...tensor.shape]),
        ]),
      );
      const results = await loaded.run(feeds);
      return Promise.all(
        loaded.outputNames.map(async (name) => {
          const result = results[name];
          const values = await result?.getData(true);
          if (result === undefined || !(values instanceof Float32Array)) {
            throw new MeshError('MESH_EXECUTION_FAILED', `Expected output "${name}" to be FP32`);
          }
          // The values may lie in the engine's own memory, which cannot be transferred.
          return float32Tensor(name, result.dims, Float32Array.from(values));
        }),
      );
    },

    async unload(session) {
      await sessions.get(session)?.release();
      sessions.delete(session);
    },
  };
}
