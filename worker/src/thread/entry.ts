/*
 * Entry of an engine thread. Every session of this process lives in such a thread, because the runtimes block the thread
 * that calls them. Each thread imports only what it needs: a runtime costs tens of megabytes, and the packages of the
 * mesh that the main thread uses would double the 15 MB of a thread with onnxruntime, so of those it has types only.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type {
  EngineAnswer,
  EngineCall,
  EngineRequest,
  EngineResponse,
  EngineThreadData,
  LoadedSession,
  MeasuredTimes,
  MeasureLimits,
  ModelSource,
  RunResult,
  SharedTensor,
  ThreadTensor,
} from '../engine-messages.ts';
import type { ThreadModel } from './thread-model.ts';

const { provider, threadsPerSession } = workerData as EngineThreadData;
const models = new Map<string, ThreadModel>();
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

async function perform(call: EngineCall): Promise<EngineAnswer> {
  switch (call.type) {
    case 'load':
      return await load(call.session, call.source);
    case 'run':
      return await run(call.session, call.tensors);
    case 'measure':
      return await measure(call.session, call.tensors, call.limits);
    case 'unload':
      return await unload(call.session);
    case 'probe':
      return await (await import('./probe.ts')).probe(call.provider, threadsPerSession);
    case 'exit':
      return await exit();
  }
}

async function load(name: string, source: ModelSource): Promise<LoadedSession> {
  await unload(name);
  const startedAt = performance.now();
  models.set(name, await open(source));
  return { loadMs: performance.now() - startedAt };
}

async function open(source: ModelSource): Promise<ThreadModel> {
  switch (source.format) {
    case 'onnx':
      return await (await import('./onnx-model.ts')).loadOnnxModel(source, provider, threadsPerSession);
    case 'tfjs':
      return await (await import('./tfjs-model.ts')).loadTfjsModel(source);
  }
}

async function run(name: string, tensors: readonly (ThreadTensor | SharedTensor)[]): Promise<RunResult> {
  return await modelOf(name).run(tensors);
}

async function measure(
  name: string,
  tensors: readonly SharedTensor[],
  { runs, withinMs }: MeasureLimits,
): Promise<MeasuredTimes> {
  const timesMs: number[] = [];
  let spentMs = 0;
  do {
    const { computeMs } = await modelOf(name).run(tensors);
    timesMs.push(computeMs);
    spentMs += computeMs;
  } while (timesMs.length < runs && spentMs < withinMs);
  return { timesMs };
}

function modelOf(name: string): ThreadModel {
  const model = models.get(name);
  if (model === undefined) throw new Error(`No session "${name}" is loaded in this thread`);
  return model;
}

async function unload(name: string): Promise<Record<string, never>> {
  const model = models.get(name);
  models.delete(name);
  await model?.release();
  return {};
}

async function exit(): Promise<Record<string, never>> {
  for (const name of [...models.keys()]) await unload(name);
  parentPort?.close();
  return {};
}
