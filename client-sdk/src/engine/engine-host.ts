import { isErrorCode, MeshError, type Tensor } from '@nearfar/protocol';
import type { EngineCall, EngineRequest, EngineResponse, EngineStart, ModelFiles } from './messages.ts';

/** Bounds of a host; times in milliseconds. */
export interface EngineHostOptions {
  readonly createWorker: () => Worker;
  /** Milliseconds on a monotonic scale. */
  readonly now: () => number;
  /** Absent: a host without an engine, for pictures only. */
  readonly start?: EngineStart;
  /** A run that takes longer is given up with its worker; default 10 000. */
  readonly runTimeoutMs?: number;
  /** The same for starting and loading, which download and compile; default 120 000. */
  readonly loadTimeoutMs?: number;
}

/** A finished call. Times in milliseconds: waiting for the engine, and in its worker with the way there and back. */
export interface HostedRun {
  readonly outputs: readonly Tensor[];
  readonly queueMs: number;
  readonly computeMs: number;
}

interface Pending {
  readonly call: EngineCall;
  readonly askedAt: number;
  readonly transfer: Transferable[];
  readonly timeoutMs: number;
  readonly resolve: (run: HostedRun) => void;
  readonly reject: (error: unknown) => void;
  /** Detaches from the caller's signal. */
  readonly detach: () => void;
}

interface InFlight {
  readonly id: number;
  readonly pending: Pending;
  readonly startedAt: number;
  readonly watchdog: ReturnType<typeof setTimeout>;
}

/**
 * A handle on one engine in a worker of its own. Calls are answered in order, one at a time: onnxruntime-web on WebGPU
 * must never have two under way. A worker that hangs, dies or fails a run is replaced, with the models that it held,
 * when the next call comes: after a lost device no engine recovers in place. The call that it was busy with fails.
 */
export class EngineHost {
  readonly #options: EngineHostOptions;
  readonly #models = new Map<string, ModelFiles>();
  #waiting: Pending[] = [];
  #inFlight: InFlight | undefined;
  #worker: Worker | undefined;
  #nextId = 0;
  #isClosed = false;

  constructor(options: EngineHostOptions) {
    this.#options = options;
  }

  /** Calls that wait or run. */
  get pending(): number {
    return this.#waiting.length + (this.#inFlight === undefined ? 0 : 1);
  }

  /** Starts the engine, so that a device without it fails here and not in `load`. */
  async start(signal?: AbortSignal): Promise<void> {
    const { start } = this.#options;
    if (start !== undefined && this.#worker === undefined) {
      await this.#call({ kind: 'start', start }, this.#loadTimeoutMs, [], signal);
    }
  }

  /** Resolves once the worker answers; rejects when it cannot be loaded. */
  async wake(): Promise<void> {
    await this.#call({ kind: 'wake' }, this.#runTimeoutMs);
  }

  /** Loads a model under a name and keeps its files, so that a replaced worker can load it again. */
  async load(session: string, model: ModelFiles, signal?: AbortSignal): Promise<void> {
    await this.#call({ kind: 'load', session, model }, this.#loadTimeoutMs, [], signal);
    this.#models.set(session, model);
  }

  /** Runs a loaded model. An abort drops the result; a run that has begun is not interrupted. */
  run(session: string, tensors: readonly Tensor[], signal?: AbortSignal): Promise<HostedRun> {
    return this.#call({ kind: 'run', session, tensors }, this.#runTimeoutMs, [], signal);
  }

  /** Unloads a model; nothing happens when it is not loaded. */
  async unload(session: string): Promise<void> {
    if (!this.#models.delete(session) || this.#worker === undefined) return;
    await this.#call({ kind: 'unload', session }, this.#loadTimeoutMs);
  }

  /** Turns a picture into a tensor. */
  async picture(
    call: Extract<EngineCall, { kind: 'picture' }>,
    signal?: AbortSignal,
  ): Promise<readonly Tensor[]> {
    // A bitmap is handed over, not copied; pixels and files are the caller's own.
    const transfer = call.source instanceof ImageBitmap ? [call.source] : [];
    const { outputs } = await this.#call(call, this.#runTimeoutMs, transfer, signal);
    return outputs;
  }

  /** Ends the worker; what waits or runs fails. May be called twice. */
  close(): void {
    this.#isClosed = true;
    this.#giveUp('it is closed');
    for (const pending of this.#waiting.splice(0)) {
      pending.detach();
      pending.reject(closed());
    }
  }

  get #runTimeoutMs(): number {
    return this.#options.runTimeoutMs ?? 10_000;
  }

  get #loadTimeoutMs(): number {
    return this.#options.loadTimeoutMs ?? 120_000;
  }

  #call(
    call: EngineCall,
    timeoutMs: number,
    transfer: Transferable[] = [],
    signal?: AbortSignal,
  ): Promise<HostedRun> {
    if (this.#isClosed) return Promise.reject(closed());
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#waiting = this.#waiting.filter((entry) => entry !== pending);
        reject(signal?.reason);
      };
      const detach = () => signal?.removeEventListener('abort', abort);
      const askedAt = this.#options.now();
      const pending: Pending = { call, askedAt, transfer, timeoutMs, resolve, reject, detach };
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiting.push(pending);
      this.#startNext();
    });
  }

  #startNext(): void {
    if (this.#inFlight !== undefined || this.#isClosed) return;
    const pending = this.#waiting.shift();
    if (pending === undefined) return;
    const { kind } = pending.call;
    const isNew = this.#worker === undefined;
    let worker: Worker;
    try {
      worker = this.#worker ?? this.#spawn();
    } catch (cause) {
      // Browsers refuse some scripts at once, for example those of another origin.
      pending.detach();
      pending.reject(
        new MeshError('MESH_EXECUTION_FAILED', `The engine's worker cannot be created: ${cause}`, { cause }),
      );
      this.#startNext();
      return;
    }
    // A new worker gets engine and models first, since it answers in order; a start goes before the models itself.
    if (isNew && kind !== 'start') {
      this.#sendStart(worker);
      this.#sendModels(worker);
    }
    const id = this.#nextId++;
    const watchdog = setTimeout(
      () => this.#giveUp(`"${kind}" took longer than ${pending.timeoutMs} ms`),
      pending.timeoutMs,
    );
    this.#inFlight = { id, pending, startedAt: this.#options.now(), watchdog };
    const request: EngineRequest = { id, call: pending.call };
    try {
      worker.postMessage(request, pending.transfer);
    } catch (cause) {
      // Only what callers bring can be beyond cloning, for example a tensor with methods.
      this.#endCall()?.reject(
        new MeshError('MESH_BAD_TENSOR', `The input cannot be handed to a worker: ${cause}`, { cause }),
      );
      this.#startNext();
      return;
    }
    if (isNew && kind === 'start') this.#sendModels(worker);
  }

  /** Lets go of the call under way and gives it. */
  #endCall(): Pending | undefined {
    const inFlight = this.#inFlight;
    if (inFlight === undefined) return undefined;
    this.#inFlight = undefined;
    clearTimeout(inFlight.watchdog);
    inFlight.pending.detach();
    return inFlight.pending;
  }

  #spawn(): Worker {
    const worker = this.#options.createWorker();
    this.#worker = worker;
    worker.addEventListener('message', ({ data }: MessageEvent<EngineResponse>) => this.#settle(data));
    worker.addEventListener('error', (event) => {
      this.#giveUp(event.message || 'its worker could not be loaded', worker);
    });
    return worker;
  }

  #sendStart(worker: Worker): void {
    const { start } = this.#options;
    if (start !== undefined) this.#send(worker, { kind: 'start', start });
  }

  #sendModels(worker: Worker): void {
    for (const [session, model] of this.#models) this.#send(worker, { kind: 'load', session, model });
  }

  /** Sends a call whose answer nobody waits for. */
  #send(worker: Worker, call: EngineCall): void {
    const request: EngineRequest = { id: this.#nextId++, call };
    worker.postMessage(request);
  }

  #settle(response: EngineResponse): void {
    const inFlight = this.#inFlight;
    // Answers to what a new worker was sent first are nobody's; a failure of those shows in the call that follows.
    if (inFlight === undefined || inFlight.id !== response.id) return;
    const { pending, startedAt } = inFlight;
    if (response.kind === 'failed' && pending.call.kind === 'run') {
      this.#giveUp(response.message);
      return;
    }
    this.#endCall();
    if (response.kind === 'failed') {
      pending.reject(failed(response.code, response.message));
      // A worker whose engine did not start is of no use: whoever asks next gets a new one.
      if (pending.call.kind === 'start') this.#giveUp(response.message);
    } else {
      pending.resolve({
        outputs: response.tensors,
        queueMs: startedAt - pending.askedAt,
        computeMs: this.#options.now() - startedAt,
      });
    }
    this.#startNext();
  }

  /** Ends the worker (if it still is `worker`) and fails the call that it was busy with. */
  #giveUp(reason: string, worker: Worker | undefined = this.#worker): void {
    if (worker === undefined || worker !== this.#worker) return;
    worker.terminate();
    this.#worker = undefined;
    this.#endCall()?.reject(failed('MESH_EXECUTION_FAILED', `The engine gave up: ${reason}`));
    this.#startNext();
  }
}

function failed(code: string, message: string): MeshError {
  return new MeshError(isErrorCode(code) ? code : 'MESH_EXECUTION_FAILED', message);
}

function closed(): MeshError {
  return new MeshError('MESH_CANCELLED', 'The mesh is closed');
}
