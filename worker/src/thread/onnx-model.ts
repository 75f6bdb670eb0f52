import type { Datatype, TensorSignature } from '@nearfar/protocol';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import type { ModelSource, Provider, SharedTensor, ThreadTensor } from '../engine-messages.ts';
import { createSession } from './onnx-session.ts';
import { copyOf, ownBytes, type ThreadModel } from './thread-model.ts';

/** Names of onnxruntime for the datatypes that its Node binding takes as raw elements. */
const ONNX_TYPES = {
  BOOL: 'bool',
  UINT8: 'uint8',
  INT8: 'int8',
  UINT16: 'uint16',
  INT16: 'int16',
  UINT32: 'uint32',
  INT32: 'int32',
  UINT64: 'uint64',
  INT64: 'int64',
  FP16: 'float16',
  FP32: 'float32',
  FP64: 'float64',
} as const satisfies Partial<Record<Datatype, Tensor.Type>>;

const ARRAYS = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  INT8: Int8Array,
  UINT16: Uint16Array,
  INT16: Int16Array,
  UINT32: Uint32Array,
  INT32: Int32Array,
  UINT64: BigUint64Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const satisfies Record<keyof typeof ONNX_TYPES, unknown>;

/** Loads an ONNX model with onnxruntime. Throws when it cannot, or when the names of the signature are not its own. */
export async function loadOnnxModel(
  { files, inputs, outputs }: ModelSource,
  provider: Provider,
  threads: number,
): Promise<ThreadModel> {
  const [entry, ...others] = files;
  if (entry === undefined) throw new Error('Expected an .onnx file, the variant has no files');
  checkDatatypes([...inputs, ...outputs]);
  // onnxruntime takes no shared memory, so each thread makes copies of its own.
  const model = copyOf(entry.bytes);
  const externalData = others.map(({ path, bytes }) => ({ path, data: copyOf(bytes) }));
  const session = await createSession(model, provider, threads, externalData);
  // The session has read it. Left to the garbage collector of a thread that allocates little, it would stay for hours.
  model.buffer.transfer(0);
  try {
    checkNames('inputs', inputs, session.inputNames);
    checkNames('outputs', outputs, session.outputNames);
  } catch (error) {
    await session.release();
    throw error;
  }
  const names = outputs.map(({ name }) => name);
  return {
    async run(tensors) {
      const feeds = Object.fromEntries(tensors.map((tensor) => [tensor.name, toOnnx(tensor)]));
      const startedAt = performance.now();
      const results = await session.run(feeds, names);
      const computeMs = performance.now() - startedAt;
      return { tensors: names.map((name) => fromOnnx(name, results[name])), computeMs };
    },
    async release() {
      await session.release();
      // Until then the session may use external data where it lies, so it must be reachable from here.
      externalData.length = 0;
    },
  };
}

function checkDatatypes(signature: readonly TensorSignature[]): void {
  for (const { name, datatype } of signature) {
    if (isSupported(datatype)) continue;
    const known = Object.keys(ONNX_TYPES).join(', ');
    throw new Error(
      `Expected "${name}" to be one of ${known}, got ${datatype}, which onnxruntime-node cannot take`,
    );
  }
}

/** Every input must be given and so be known; an output may be left out. */
function checkNames(
  what: 'inputs' | 'outputs',
  signature: readonly TensorSignature[],
  found: readonly string[],
): void {
  const expected = signature.map(({ name }) => name);
  const isComplete = what === 'outputs' || expected.length === found.length;
  if (isComplete && expected.every((name) => found.includes(name))) return;
  throw new Error(`Expected the ${what} to be ${expected.join(', ')}, the model has ${found.join(', ')}`);
}

function toOnnx(tensor: ThreadTensor | SharedTensor): Tensor {
  const { datatype, shape } = tensor;
  if (!isSupported(datatype)) throw new Error(`onnxruntime-node takes no ${datatype} tensors`);
  const { buffer, byteOffset, byteLength } = ownBytes(tensor);
  const array = ARRAYS[datatype];
  const elements = new array(buffer, byteOffset, byteLength / array.BYTES_PER_ELEMENT);
  return new Tensor(ONNX_TYPES[datatype], elements as Float32Array, shape);
}

function fromOnnx(name: string, tensor: InferenceSession.OnnxValueMapType[string] | undefined): ThreadTensor {
  if (!(tensor instanceof Tensor)) throw new Error(`Output "${name}" is not a tensor`);
  const datatype = (Object.keys(ONNX_TYPES) as (keyof typeof ONNX_TYPES)[]).find(
    (candidate) => ONNX_TYPES[candidate] === tensor.type,
  );
  if (datatype === undefined) throw new Error(`Output "${name}" has the unsupported type ${tensor.type}`);
  const { buffer, byteOffset, byteLength } = tensor.data as Float32Array<ArrayBuffer>;
  // A copy: the runtime's own memory must not be transferred to another thread.
  const data = new Uint8Array(buffer, byteOffset, byteLength).slice();
  return { name, datatype, shape: tensor.dims, data };
}

function isSupported(datatype: Datatype): datatype is keyof typeof ONNX_TYPES {
  return datatype in ONNX_TYPES;
}
