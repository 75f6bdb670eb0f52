import { float32Tensor, float32Values, type TensorSignature } from '@nearfar/protocol';
import type { Engine } from '../../../../client-sdk/src/engine/messages.ts';

/** A model on the page's server. */
export interface PageModel {
  /** URL of its folder, ending in a slash. */
  readonly folder: string;
  /** The entry file first. */
  readonly files: readonly string[];
  readonly inputs: readonly TensorSignature[];
  readonly outputs: readonly TensorSignature[];
}

/** A tensor as it goes in and out of the page. */
export interface PageTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

/** What tests call in the page: the SDK's own engines, without the rest of the SDK. */
export interface EnginePage {
  /** Starts an engine; downloads it only now. */
  start(engine: 'tfjs-webgpu' | 'ort-wasm'): Promise<void>;
  /** Lets tfjs do nothing on the CPU but sums of shapes, so that small tests reach the GPU as well. */
  keepOffCpu(): Promise<void>;
  /** Downloads a model and makes it ready to run. */
  load(model: PageModel): Promise<void>;
  /** Runs the model that was loaded last. */
  run(inputs: readonly PageTensor[]): Promise<PageTensor[]>;
}

let engine: Engine | undefined;

const page: EnginePage = {
  async start(name) {
    if (name === 'tfjs-webgpu') {
      const { createTfjsEngine } = await import('../../../../client-sdk/src/engine/tfjs-webgpu.ts');
      engine = await createTfjsEngine();
    } else {
      const { createOrtEngine } = await import('../../../../client-sdk/src/engine/ort-web.ts');
      engine = await createOrtEngine({ engine: name, assetBase: new URL('/ort/', location.href).href });
    }
  },

  async keepOffCpu() {
    const { env } = await import('@tensorflow/tfjs-core');
    env().set('WEBGPU_CPU_HANDOFF_SIZE_THRESHOLD', 5);
  },

  async load({ folder, files, inputs, outputs }) {
    const loaded = await Promise.all(
      files.map(async (path) => {
        const response = await fetch(new URL(path, new URL(folder, location.href)));
        if (!response.ok) throw new Error(`Expected ${path}, got status ${response.status}`);
        return { path, bytes: new Uint8Array(await response.arrayBuffer()) };
      }),
    );
    await started().load('model', { spec: { inputs, outputs }, files: loaded });
  },

  async run(inputs) {
    const tensors = inputs.map(({ name, shape, values }) =>
      float32Tensor(name, shape, Float32Array.from(values)),
    );
    const results = await started().run('model', tensors);
    return results.map((tensor) => ({
      name: tensor.name,
      shape: tensor.shape,
      values: Array.from(float32Values(tensor)),
    }));
  },
};

function started(): Engine {
  if (engine === undefined) throw new Error('Expected the engine to be started');
  return engine;
}

Object.assign(globalThis, { enginePage: page });

declare global {
  /** Only in the page. */
  var enginePage: EnginePage;
}
