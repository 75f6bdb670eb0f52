/*
 * Entry of an engine thread. Every onnxruntime session of this process lives in such a thread, because
 * `session.run` and `InferenceSession.create` block the thread that calls them.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { DATATYPE_BYTES, type Datatype } from '@nearfar/protocol';
import { env, InferenceSession, Tensor } from 'onnxruntime-node';
import type {
  EngineAnswer,
  EngineCall,
  EngineRequest,
  EngineResponse,
  EngineThreadData,
  LoadedSession,
  ProbeResult,
  Provider,
  RunResult,
  ThreadTensor,
} from './engine-messages.ts';
import { PROBE_SIDE, probeModel } from './probe-model.ts';

const PROBE_WARM_UPS = 2;
const PROBE_RUNS = 5;

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
  FP32: Float32Array,
  FP64: Float64Array,
} as const;

// Errors reach us as exceptions; the runtime need not also print them.
env.logLevel = 'fatal';

const { provider, threadsPerSession } = workerData as EngineThreadData;
const sessions = new Map<string, InferenceSession>();
let turn: Promise<void> = Promise.resolve();

// One call at a time, in order: two runs in flight would only queue inside the runtime.
parentPort?.on('message', (request: EngineRequest) => {
  turn = turn.then(() => answer(request));
});

async function answer({ id, call }: EngineRequest): Promise<void> {
  try {
    const result = await perform(call);
    const transfer = 'tensors' in result ? result.tensors.map((tensor) => tensor.data.buffer) : [];
    post({ id, kind: 'done', answer: result }, transfer);
  } catch (error) {
    post({ id, kind: 'failed', message: error instanceof Error ? error.message : String(error) });
  }
}

function post(response: EngineResponse, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(response, transfer);
}

function perform(call: EngineCall): Promise<EngineAnswer> {
  switch (call.type) {
    case 'load':
      return load(call.session, call.model);
    case 'run':
      return run(call.session, call.tensors);
    case 'unload':
      return unload(call.session);
    case 'probe':
      return probe(call.provider);
    case 'exit':
      return exit();
  }
}

async function load(name: string, model: SharedArrayBuffer): Promise<LoadedSession> {
  await unload(name);
  const before = process.memoryUsage.rss();
  const startedAt = performance.now();
  // onnxruntime takes no shared memory, so each thread makes its own short-lived copy.
  const session = await createSession(Uint8Array.from(new Uint8Array(model)), provider);
  sessions.set(name, session);
  return {
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    loadMs: performance.now() - startedAt,
    grownBytes: Math.max(0, process.memoryUsage.rss() - before),
  };
}

async function unload(name: string): Promise<Record<string, never>> {
  const session = sessions.get(name);
  sessions.delete(name);
  await session?.release();
  return {};
}

async function exit(): Promise<Record<string, never>> {
  for (const name of [...sessions.keys()]) await unload(name);
  parentPort?.close();
  return {};
}

async function run(name: string, tensors: readonly ThreadTensor[]): Promise<RunResult> {
  const session = sessions.get(name);
  if (session === undefined) throw new Error(`No session "${name}" is loaded in this thread`);
  const feeds = Object.fromEntries(tensors.map((tensor) => [tensor.name, toOnnx(tensor)]));
  const startedAt = performance.now();
  const outputs = await session.run(feeds);
  const computeMs = performance.now() - startedAt;
  return {
    tensors: session.outputNames.map((output) => fromOnnx(output, outputs[output])),
    computeMs,
  };
}

/** Really runs the probe model, and gives the median of a few runs after the first ones. */
async function probe(on: Provider): Promise<ProbeResult> {
  const session = await createSession(probeModel(), on);
  try {
    const matrix = new Tensor('float32', new Float32Array(PROBE_SIDE * PROBE_SIDE).fill(0.5), [
      PROBE_SIDE,
      PROBE_SIDE,
    ]);
    const times: number[] = [];
    for (let turnNumber = 0; turnNumber < PROBE_WARM_UPS + PROBE_RUNS; turnNumber++) {
      const startedAt = performance.now();
      const { y } = await session.run({ a: matrix, b: matrix });
      const [first] = (y?.data ?? []) as Float32Array;
      times.push(performance.now() - startedAt);
      if (first === undefined || Math.abs(first - PROBE_SIDE / 4) > 1) {
        throw new Error(`the probe should give ${PROBE_SIDE / 4}, got ${first}`);
      }
    }
    const measured = times.slice(PROBE_WARM_UPS).sort((a, b) => a - b);
    return { runMs: measured[Math.floor(measured.length / 2)] ?? 0 };
  } finally {
    await session.release();
  }
}

function createSession(model: Uint8Array, on: Provider): Promise<InferenceSession> {
  return InferenceSession.create(model, {
    executionProviders: [on],
    intraOpNumThreads: threadsPerSession,
    interOpNumThreads: 1,
    logSeverityLevel: 4,
  });
}

function toOnnx(tensor: ThreadTensor): Tensor {
  if (!isSupported(tensor.datatype)) throw new Error(`onnxruntime-node takes no ${tensor.datatype} tensors`);
  const { buffer, byteOffset, byteLength } = tensor.data;
  const elements = new ARRAYS[tensor.datatype](
    buffer,
    byteOffset,
    byteLength / DATATYPE_BYTES[tensor.datatype],
  );
  return new Tensor(ONNX_TYPES[tensor.datatype], elements as Float32Array, tensor.shape);
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
