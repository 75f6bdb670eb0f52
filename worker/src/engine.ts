import { Worker } from 'node:worker_threads';
import { MeshError } from '@nearfar/protocol';
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

/** One thread that runs sessions, as the rest of the worker sees it. Calls are answered in order, one at a time. */
export interface Engine {
  /** Loads a session under a name; the bytes stay shared so that a respawned thread can load it again. */
  load(session: string, model: SharedArrayBuffer): Promise<LoadedSession>;
  /** Runs a loaded session. The tensors' buffers are handed over and unusable afterwards. */
  run(session: string, tensors: readonly ThreadTensor[]): Promise<RunResult>;
  unload(session: string): Promise<void>;
  /** Measures the probe model on a provider. */
  probe(provider: Provider): Promise<ProbeResult>;
  close(): Promise<void>;
}

export interface EngineOptions extends EngineThreadData {
  /** A run that takes longer is given up with its thread; default 30 000. */
  readonly runTimeoutMs?: number;
  /** The same for loading and probing; default 120 000. */
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
  import.meta.url.endsWith('.ts') ? './engine-thread.ts' : './engine-thread.js',
  import.meta.url,
);

/** Ids of calls start at 0, so the answer to this one is nobody's. */
const EXIT: EngineRequest = { id: -1, call: { type: 'exit' } };
/** Threads of one engine that were given up and still compute; while there are so many, no other one is started. */
const MAX_ABANDONED = 2;
/** A thread that is busy for longer when the engine is closed is left to end by itself. */
const CLOSE_WITHIN_MS = 10_000;

/**
 * A handle on an engine thread. A thread that hangs or dies is replaced when the next call comes, with the sessions
 * that it held; the call that it was busy with fails with `MESH_EXECUTION_FAILED`. So do further calls while two
 * threads that were given up still compute, since each of them takes a core and a copy of every session.
 */
export class EngineThread implements Engine {
  readonly #options: EngineOptions;
  readonly #models = new Map<string, SharedArrayBuffer>();
  readonly #waiting: Pending[] = [];
  #inFlight: { readonly pending: Pending; readonly watchdog: NodeJS.Timeout } | undefined;
  readonly #abandoned = Promise.withResolvers<void>();
  /** Threads that have not ended: the present one and those that were given up. */
  readonly #living = new Set<Worker>();
  #thread: Worker | undefined;
  #nextId = 0;
  #isClosed = false;

  constructor(options: EngineOptions) {
    this.#options = options;
  }

  async load(session: string, model: SharedArrayBuffer): Promise<LoadedSession> {
    const loaded = await this.#call({ type: 'load', session, model }, this.#loadTimeoutMs);
    this.#models.set(session, model);
    return loaded as LoadedSession;
  }

  async run(session: string, tensors: readonly ThreadTensor[]): Promise<RunResult> {
    const transfer = [...new Set(tensors.map((tensor) => tensor.data.buffer))];
    const timeoutMs = this.#options.runTimeoutMs ?? 30_000;
    return (await this.#call({ type: 'run', session, tensors }, timeoutMs, transfer)) as RunResult;
  }

  async unload(session: string): Promise<void> {
    if (!this.#models.delete(session)) return;
    await this.#call({ type: 'unload', session }, this.#loadTimeoutMs);
  }

  async probe(provider: Provider): Promise<ProbeResult> {
    return (await this.#call({ type: 'probe', provider }, this.#loadTimeoutMs)) as ProbeResult;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const pending of this.#waiting.splice(0)) pending.reject(closed());
    const thread = this.#thread;
    if (thread === undefined) return;
    const exited = new Promise<void>((resolve) => thread.once('exit', () => resolve()));
    thread.postMessage(EXIT);
    const patience = setTimeout(() => this.#giveUp('it is closed'), CLOSE_WITHIN_MS);
    await Promise.race([exited, this.#abandoned.promise]);
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
    if (this.#thread === undefined && this.#living.size >= MAX_ABANDONED) {
      for (const pending of this.#waiting.splice(0)) pending.reject(stuck(this.#living.size));
      return;
    }
    const pending = this.#waiting.shift();
    if (pending === undefined) return;
    const thread = this.#thread ?? this.#spawn();
    const watchdog = setTimeout(() => {
      this.#giveUp(`"${pending.request.call.type}" took longer than ${pending.timeoutMs} ms`);
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
      this.#living.delete(thread);
      this.#giveUp(reason, thread);
    };
    // `exit` follows `error`; whichever comes first gives the call up.
    thread.on('error', (error) => ended(error.message));
    thread.on('exit', (code) => ended(`its thread ended with code ${code}`));
    this.#living.add(thread);
    this.#thread = thread;
    for (const [session, model] of this.#models) {
      const reload: EngineRequest = { id: this.#nextId++, call: { type: 'load', session, model } };
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
    else inFlight.pending.reject(new MeshError('MESH_EXECUTION_FAILED', response.message));
    this.#startNext();
  }

  /**
   * Lets go of the thread (if it still is `thread`) and fails the call that it was busy with. The thread is asked to
   * end by itself: terminating it while it is inside onnxruntime aborts the whole process.
   */
  #giveUp(reason: string, thread: Worker | undefined = this.#thread): void {
    if (thread === undefined || thread !== this.#thread) return;
    this.#thread = undefined;
    thread.postMessage(EXIT);
    thread.unref();
    const inFlight = this.#inFlight;
    this.#inFlight = undefined;
    if (inFlight !== undefined) {
      clearTimeout(inFlight.watchdog);
      inFlight.pending.reject(new MeshError('MESH_EXECUTION_FAILED', `The engine gave up: ${reason}`));
    }
    if (this.#isClosed) this.#abandoned.resolve();
    this.#startNext();
  }
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
