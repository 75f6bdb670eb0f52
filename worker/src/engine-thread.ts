import { Worker } from 'node:worker_threads';
import { MeshError } from '@nearfar/protocol';
import type { Engine } from './engine.ts';
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
  ProbeResult,
  Provider,
  RunResult,
  SharedTensor,
  ThreadTensor,
} from './engine-messages.ts';

export interface EngineOptions extends EngineThreadData {
  /** A run that takes longer is given up with its thread; default 30 000. */
  readonly runTimeoutMs?: number;
  /** The same for loading, measuring and probing; default 120 000. */
  readonly loadTimeoutMs?: number;
}

interface Pending {
  readonly request: EngineRequest;
  readonly transfer: readonly ArrayBuffer[];
  readonly timeoutMs: number;
  readonly resolve: (answer: EngineAnswer) => void;
  readonly reject: (error: MeshError) => void;
}

// Sources run as TypeScript in the repository and as JavaScript in the published package.
const ENTRY = new URL(
  import.meta.url.endsWith('.ts') ? './thread/entry.ts' : './thread/entry.js',
  import.meta.url,
);

/** Ids of calls start at 0, so the answer to this one is nobody's. */
const EXIT: EngineRequest = { id: -1, call: { type: 'exit' } };
/** Threads that were given up and still compute; while there are so many, no other one is started. */
const MAX_ABANDONED = 2;
/** A thread that is busy for longer when the engine is closed is left to end by itself. */
const CLOSE_WITHIN_MS = 10_000;

/**
 * One thread that runs sessions, one call at a time, in order. It is started by the first call. A thread that hangs or dies
 * is replaced when the next call comes, with the sessions that it held; the call that it was busy with fails. So do further
 * calls while two threads that were given up still compute, since each of them takes a core and a copy of its sessions.
 *
 * @example Runs a model outside a worker, by the code that serves:
 * ```ts
 * const thread = new EngineThread({ provider: 'cpu', threadsPerSession: 1 });
 * await thread.load('model', { format: 'onnx', files: [{ path: 'model.onnx', bytes }], inputs, outputs });
 * const { tensors, computeMs } = await thread.run('model', [{ name: 'x', datatype: 'FP32', shape: [1, 2], data }]);
 * await thread.close();
 * ```
 */
export class EngineThread implements Engine {
  readonly #options: EngineOptions;
  readonly #sources = new Map<string, ModelSource>();
  readonly #waiting: Pending[] = [];
  #inFlight: { readonly pending: Pending; readonly watchdog: NodeJS.Timeout } | undefined;
  readonly #closedWithoutExit = Promise.withResolvers<void>();
  readonly #abandoned: Set<Worker>;
  #thread: Worker | undefined;
  #nextId = 0;
  #isClosed = false;

  /**
   * `abandoned` holds the threads that were given up and have not ended; engine threads that share it are together held to
   * two of them.
   */
  constructor(options: EngineOptions, abandoned: Set<Worker> = new Set()) {
    this.#options = options;
    this.#abandoned = abandoned;
  }

  async load(session: string, source: ModelSource): Promise<LoadedSession> {
    const loaded = await this.#call({ type: 'load', session, source }, this.#loadTimeoutMs);
    this.#sources.set(session, source);
    return loaded as LoadedSession;
  }

  async run(session: string, tensors: readonly (ThreadTensor | SharedTensor)[]): Promise<RunResult> {
    const buffers = new Set(tensors.map((tensor) => tensor.data.buffer));
    const transfer = [...buffers].filter((buffer) => buffer instanceof ArrayBuffer);
    const timeoutMs = this.#options.runTimeoutMs ?? 30_000;
    return (await this.#call({ type: 'run', session, tensors }, timeoutMs, transfer)) as RunResult;
  }

  async measure(
    session: string,
    tensors: readonly SharedTensor[],
    limits: MeasureLimits,
  ): Promise<MeasuredTimes> {
    const call = { type: 'measure', session, tensors, limits } as const;
    return (await this.#call(call, this.#loadTimeoutMs)) as MeasuredTimes;
  }

  async unload(session: string): Promise<void> {
    if (!this.#sources.delete(session)) return;
    await this.#call({ type: 'unload', session }, this.#loadTimeoutMs);
  }

  /** Measures a small model on a provider, by really running it. */
  async probe(provider: Provider): Promise<ProbeResult> {
    return (await this.#call({ type: 'probe', provider }, this.#loadTimeoutMs)) as ProbeResult;
  }

  /** Ends the thread; a call that it is busy with is finished first. May be called twice. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const pending of this.#waiting.splice(0)) pending.reject(closed());
    const thread = this.#thread;
    if (thread === undefined) return;
    const exited = new Promise<void>((resolve) => thread.once('exit', () => resolve()));
    thread.postMessage(EXIT);
    const patience = setTimeout(() => this.#abandon('it is closed'), CLOSE_WITHIN_MS);
    await Promise.race([exited, this.#closedWithoutExit.promise]);
    clearTimeout(patience);
  }

  get #loadTimeoutMs(): number {
    return this.#options.loadTimeoutMs ?? 120_000;
  }

  #call(call: EngineCall, timeoutMs: number, transfer: readonly ArrayBuffer[] = []): Promise<EngineAnswer> {
    if (this.#isClosed) return Promise.reject(closed());
    return new Promise((resolve, reject) => {
      const request = { id: this.#nextId++, call };
      this.#waiting.push({ request, transfer, timeoutMs, resolve, reject });
      this.#startNext();
    });
  }

  #startNext(): void {
    if (this.#inFlight !== undefined || this.#isClosed) return;
    if (this.#thread === undefined && this.#abandoned.size >= MAX_ABANDONED) {
      for (const pending of this.#waiting.splice(0)) pending.reject(stuck(this.#abandoned.size));
      return;
    }
    const pending = this.#waiting.shift();
    if (pending === undefined) return;
    const thread = this.#thread ?? this.#spawn();
    const watchdog = setTimeout(() => {
      this.#abandon(`"${pending.request.call.type}" took longer than ${pending.timeoutMs} ms`);
    }, pending.timeoutMs);
    this.#inFlight = { pending, watchdog };
    thread.postMessage(pending.request, [...pending.transfer]);
  }

  #spawn(): Worker {
    const { provider, threadsPerSession } = this.#options;
    const workerData: EngineThreadData = { provider, threadsPerSession };
    const thread = new Worker(ENTRY, { workerData, execArgv: [], name: `nearfar-engine-${provider}` });
    thread.on('message', (response: EngineResponse) => this.#settle(response));
    const ended = (reason: string) => {
      this.#abandoned.delete(thread);
      this.#giveUp(reason, thread);
    };
    // `exit` follows `error`; whichever comes first gives the call up.
    thread.on('error', (error) => ended(error.message));
    thread.on('exit', (code) => ended(`its thread ended with code ${code}`));
    this.#thread = thread;
    for (const [session, source] of this.#sources) {
      const reload: EngineRequest = { id: this.#nextId++, call: { type: 'load', session, source } };
      thread.postMessage(reload);
    }
    return thread;
  }

  #settle(response: EngineResponse): void {
    const inFlight = this.#inFlight;
    // Answers to reloads after a respawn carry other ids; a failed one shows in the run that follows.
    if (inFlight === undefined || inFlight.pending.request.id !== response.id) return;
    clearTimeout(inFlight.watchdog);
    this.#inFlight = undefined;
    if (response.kind === 'done') inFlight.pending.resolve(response.answer);
    else inFlight.pending.reject(failed(inFlight.pending, response.message));
    this.#startNext();
  }

  /**
   * Lets go of the thread while it computes. It is asked to end by itself: terminating it while it is inside onnxruntime
   * aborts the whole process.
   */
  #abandon(reason: string): void {
    const thread = this.#thread;
    if (thread === undefined) return;
    this.#abandoned.add(thread);
    thread.postMessage(EXIT);
    thread.unref();
    this.#giveUp(reason, thread);
  }

  /** Fails the call that the thread was busy with, if it still is the present one. */
  #giveUp(reason: string, thread: Worker): void {
    if (thread !== this.#thread) return;
    this.#thread = undefined;
    const inFlight = this.#inFlight;
    this.#inFlight = undefined;
    if (inFlight !== undefined) {
      clearTimeout(inFlight.watchdog);
      inFlight.pending.reject(failed(inFlight.pending, `The engine gave up: ${reason}`));
    }
    if (this.#isClosed) this.#closedWithoutExit.resolve();
    this.#startNext();
  }
}

function failed({ request }: Pending, message: string): MeshError {
  return new MeshError(
    request.call.type === 'load' ? 'MESH_VARIANT_FAILED' : 'MESH_EXECUTION_FAILED',
    message,
  );
}

function stuck(count: number): MeshError {
  return new MeshError(
    'MESH_EXECUTION_FAILED',
    `Expected fewer than ${MAX_ABANDONED} runs that outlived their time limit, got ${count} threads that still compute; the engine goes on when one has ended`,
  );
}

function closed(): MeshError {
  return new MeshError('MESH_EXECUTION_FAILED', 'The engine is closed');
}
