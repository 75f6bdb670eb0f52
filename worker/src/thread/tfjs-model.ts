import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import '@tensorflow/tfjs-backend-cpu';
import { fileURLToPath } from 'node:url';
import type { Datatype, TensorSignature } from '@nearfar/protocol';
import * as tf from '@tensorflow/tfjs-core';
import type { ModelSource, RunResult, SharedTensor, ThreadTensor } from '../engine-messages.ts';
import { readTfjsFiles } from './tfjs-files.ts';
import { openGraph } from './tfjs-graph.ts';
import { ownNames } from './tfjs-names.ts';
import type { TfjsNetwork } from './tfjs-network.ts';
import { ownBytes, type ThreadModel } from './thread-model.ts';

/** The datatypes that tfjs computes with. */
const TFJS_TYPES = {
  FP32: { dtype: 'float32', array: Float32Array },
  INT32: { dtype: 'int32', array: Int32Array },
  BOOL: { dtype: 'bool', array: Uint8Array },
} as const satisfies Partial<Record<Datatype, unknown>>;

/**
 * Loads a tfjs graph or layers model. It runs on WebAssembly (with SIMD where the machine has it) or, when its first run
 * there fails because the backend lacks a kernel, in plain JavaScript. Throws when it cannot be loaded, or when the
 * signature has other numbers of inputs or outputs, or datatypes that tfjs lacks.
 */
export async function loadTfjsModel(source: ModelSource): Promise<ThreadModel> {
  const { inputs, outputs } = source;
  checkDatatypes([...inputs, ...outputs]);
  const { kind, artifacts } = readTfjsFiles(source.files);
  await startBackend();
  // The layers library is loaded for the models that need it only.
  const network =
    kind === 'graph'
      ? await openGraph(artifacts)
      : await (await import('./tfjs-layers.ts')).openLayers(artifacts);
  try {
    return modelOf(
      network,
      placesOf(inputs, network.inputNames, 'inputs'),
      placesOf(outputs, network.outputNames, 'outputs'),
      { inputs, outputs },
    );
  } catch (error) {
    network.dispose();
    throw error;
  }
}

async function startBackend(): Promise<void> {
  // Without it tfjs prints an advertisement of tfjs-node.
  tf.enableProdMode();
  setWasmPaths(fileURLToPath(new URL('.', import.meta.resolve('@tensorflow/tfjs-backend-wasm'))));
  if (!(await tf.setBackend('wasm'))) await tf.setBackend('cpu');
}

/** For each name of the signature, the position of its tensor in the model. */
function placesOf(
  signature: readonly TensorSignature[],
  found: readonly string[],
  what: 'inputs' | 'outputs',
): number[] {
  return ownNames(
    signature.map(({ name }) => name),
    found,
    what,
  ).map((name) => found.indexOf(name));
}

function modelOf(
  network: TfjsNetwork,
  inputPlaces: readonly number[],
  outputPlaces: readonly number[],
  { inputs, outputs }: Pick<ModelSource, 'inputs' | 'outputs'>,
): ThreadModel {
  let hasRun = false;

  const run = async (tensors: readonly (ThreadTensor | SharedTensor)[]): Promise<RunResult> => {
    const given: tf.Tensor[] = [];
    let results: readonly tf.Tensor[] = [];
    try {
      for (const [index, { name }] of inputs.entries()) {
        const tensor = tensors.find((candidate) => candidate.name === name);
        if (tensor === undefined) throw new Error(`Input "${name}" is missing`);
        given[inputPlaces[index] ?? 0] = toTfjs(tensor);
      }
      const startedAt = performance.now();
      results = await network.execute(given);
      const values = await Promise.all(results.map((result) => result.data()));
      const computeMs = performance.now() - startedAt;
      const found = outputs.map(({ name }, index) => {
        const place = outputPlaces[index] ?? 0;
        return fromTfjs(name, results[place], values[place]);
      });
      return { tensors: found, computeMs };
    } finally {
      tf.dispose([...given, ...results]);
    }
  };

  return {
    async run(tensors) {
      try {
        return await run(tensors);
      } catch (error) {
        // A backend that has run the model once has all of its kernels.
        if (hasRun || tf.getBackend() !== 'wasm' || !(await tf.setBackend('cpu'))) throw error;
        return await run(tensors);
      } finally {
        hasRun = true;
      }
    },
    async release() {
      network.dispose();
    },
  };
}

function checkDatatypes(signature: readonly TensorSignature[]): void {
  for (const { name, datatype } of signature) {
    if (isSupported(datatype)) continue;
    throw new Error(
      `Expected "${name}" to be one of ${Object.keys(TFJS_TYPES).join(', ')}, got ${datatype}, which tfjs does not have`,
    );
  }
}

function toTfjs(tensor: ThreadTensor | SharedTensor): tf.Tensor {
  const { datatype, shape } = tensor;
  if (!isSupported(datatype)) throw new Error(`tfjs takes no ${datatype} tensors`);
  const { dtype, array } = TFJS_TYPES[datatype];
  const { buffer, byteOffset, byteLength } = ownBytes(tensor);
  return tf.tensor(new array(buffer, byteOffset, byteLength / array.BYTES_PER_ELEMENT), [...shape], dtype);
}

function fromTfjs(
  name: string,
  result: tf.Tensor | undefined,
  values: Float32Array | Int32Array | Uint8Array | undefined,
): ThreadTensor {
  const datatype = (Object.keys(TFJS_TYPES) as (keyof typeof TFJS_TYPES)[]).find(
    (candidate) => TFJS_TYPES[candidate].dtype === result?.dtype,
  );
  if (result === undefined || values === undefined || datatype === undefined) {
    throw new Error(`Output "${name}" has the unsupported type ${result?.dtype}`);
  }
  // A copy: on the CPU backend the values may be a weight's own.
  const data = new Uint8Array(values.byteLength);
  data.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  return { name, datatype, shape: [...result.shape], data };
}

function isSupported(datatype: Datatype): datatype is keyof typeof TFJS_TYPES {
  return datatype in TFJS_TYPES;
}
