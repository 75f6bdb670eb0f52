import { type BatchRule, type Clock, leastServiceMs } from '@nearfar/core';
import {
  checkSignature,
  type ExecuteRequest,
  type Load,
  MeshError,
  type Tensor,
  type VariantSpec,
} from '@nearfar/protocol';
import { batchSizeOf, chunkSizes, joinTensors, splitTensors } from './batch-tensors.ts';
import type { Engine } from './engine.ts';
import type { RunResult, ThreadTensor } from './engine-messages.ts';
import { FillTimer } from './fill-timer.ts';
import { type Measurements, type ReplicaKey, replicaName } from './measurements.ts';
import { type QueuedRequest, RequestQueue } from './queue.ts';
import { runInParts } from './run-in-parts.ts';
import { waitsByPriority } from './waits.ts';

/** The parts of an answer's time. */
export interface ExecutionTimes {
  readonly queueMs: number;
  /** The part of `queueMs` in which a slot was idle and waited for others to fill the batch. */
  readonly batchWaitMs: number;
  readonly computeMs: number;
  /** Inputs that ran together, also those of other requests. */
  readonly batchSize: number;
  /** How many of them come before the request's own. */
  readonly batchOffset: number;
}

export interface ExecutorOptions {
  readonly engines: readonly Engine[];
  readonly measurements: Measurements;
  readonly queueCapacity: number;
  /** Most inputs of one run; a request with more runs in parts, one after another in the same slot. */
  readonly maxBatch: number;
  /** Longest time that a request waits for others to fill its batch while a slot is idle; 0 = never. */
  readonly maxBatchWaitMs: number;
  readonly clock: Clock;
  /** The spec of a ready replica. */
  readonly ready: (request: ExecuteRequest) => VariantSpec | undefined;
  readonly onResult: (request: ExecuteRequest, tensors: readonly Tensor[], times: ExecutionTimes) => void;
  readonly onRefused: (request: ExecuteRequest, error: MeshError) => void;
}

/** Batch keys that are kept before those of requests that have left are forgotten. */
const MAX_KEPT_KEYS = 2_048;

/**
 * Milliseconds that a run costs besides its compute: the way to the engine's thread and back, joining and splitting. Only
 * decides whether small models are worth batching on a CPU.
 */
const RUN_OVERHEAD_MS = 0.3;

interface RunningBatch {
  /** Name of the replica that runs it. */
  readonly replica: string;
  readonly endsAt: number;
  readonly requests: number;
}

/** Queues requests, forms batches and runs them, one batch a slot. */
export class Executor {
  readonly #options: ExecutorOptions;
  readonly #queue: RequestQueue;
  readonly #running = new Map<Engine, RunningBatch>();
  readonly #specs = new Map<string, VariantSpec>();
  readonly #closing = new AbortController();
  readonly #rule: BatchRule;
  readonly #filling: FillTimer;
  #idle: PromiseWithResolvers<void> | undefined;
  /** Who waits for the last request of a replica, by its name. */
  readonly #draining = new Map<string, PromiseWithResolvers<void>>();

  constructor(options: ExecutorOptions) {
    this.#options = options;
    this.#queue = new RequestQueue(options.queueCapacity);
    this.#filling = new FillTimer(options.clock, () => this.#pump());
    const { maxBatch, maxBatchWaitMs, measurements } = options;
    if (!(maxBatchWaitMs >= 0)) {
      throw new RangeError(`Expected maxBatchWaitMs to be a number from 0, got ${maxBatchWaitMs}`);
    }
    this.#rule = {
      maxBatch,
      maxWaitMs: maxBatchWaitMs,
      overheadMs: RUN_OVERHEAD_MS,
      serviceMs: (key, size) => this.#partsMs(key, size, (spec, rows) => measurements.serviceMs(spec, rows)),
      leastServiceMs: (key, size) =>
        this.#partsMs(key, size, (spec, rows) => measurements.leastMs(spec, rows)),
      tailMs: (key, size) => this.#partsMs(key, size, (spec, rows) => measurements.tailMs(spec, rows)),
    };
  }

  /** Takes a request in; it ends in `onResult` or `onRefused`, unless it is dropped by `clear`. */
  submit(request: ExecuteRequest, tensors: readonly Tensor[]): void {
    const { clock, onRefused } = this.#options;
    const arrivedAt = clock.now();
    try {
      this.#queue.push(this.#admit(request, tensors, arrivedAt));
    } catch (error) {
      onRefused(request, asMeshError(error));
      return;
    }
    this.#pump();
    if (this.#queue.entries().some((entry) => entry.request === request)) {
      void this.#expireAt(request);
    }
  }

  /** Takes a waiting request out; work that has begun is finished. */
  cancel(requestId: string): void {
    const entry = this.#queue.remove(requestId);
    if (entry === undefined) return;
    this.#options.onRefused(
      entry.request,
      new MeshError('MESH_CANCELLED', 'The request was cancelled while it waited'),
    );
    // Those that it would have shared a batch with may wait for longer now, or for nobody.
    if (this.#filling.until === undefined) this.#settle();
    else this.#pump();
  }

  /** Drops all waiting requests: whoever sent them is gone. */
  clear(): void {
    this.#queue.clear();
    this.#filling.stop();
    this.#settle();
  }

  /** Requests that wait for a slot. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Resolves as soon as nothing waits and nothing runs. */
  async idle(): Promise<void> {
    if (this.#isIdle) return;
    this.#idle ??= Promise.withResolvers<void>();
    await this.#idle.promise;
  }

  /** Resolves as soon as no request for the replica waits or runs. */
  async drained(key: ReplicaKey): Promise<void> {
    const name = replicaName(key);
    if (!this.#hasWorkFor(name)) return;
    const drained = this.#draining.get(name) ?? Promise.withResolvers<void>();
    this.#draining.set(name, drained);
    await drained.promise;
  }

  /** How busy the worker is now. */
  load(): Omit<Load, 'lastSequence' | 'rttMs'> {
    const { engines, clock } = this.#options;
    const waiting = this.#queue.length;
    let running = 0;
    let remainingMs = 0;
    for (const batch of this.#running.values()) {
      running += batch.requests;
      remainingMs += Math.max(0, batch.endsAt - clock.now());
    }
    const { until } = this.#filling;
    if (until !== undefined) {
      // Whoever comes now joins the batch, or starts it by filling it.
      return { backlogMs: Math.max(0, until - clock.now()), waiting, running };
    }
    if (waiting === 0 && this.#running.size < engines.length) return { backlogMs: 0, waiting, running };
    const waits = waitsByPriority(
      this.#queue.entries(),
      (entry) => this.#predictMs(entry.replica, entry.size) / engines.length,
      remainingMs / engines.length,
    );
    return { ...waits, waiting, running };
  }

  /** Stops the timers; what runs is the engines' to end. May be called twice. */
  close(): void {
    this.#closing.abort();
    this.clear();
  }

  #admit(request: ExecuteRequest, tensors: readonly Tensor[], arrivedAt: number): QueuedRequest {
    const spec = this.#options.ready(request);
    if (spec === undefined) {
      throw new MeshError(
        'MESH_VARIANT_NOT_READY',
        `Variant "${request.variant}" is not ready on this worker`,
      );
    }
    checkSignature(tensors, spec.inputs);
    const size = batchSizeOf(tensors, spec.isBatchable);
    const { budgetMs, priority } = request;
    const deadlineAt = arrivedAt + budgetMs;
    return {
      request,
      tensors,
      arrivedAt,
      size,
      deadlineAt,
      priority,
      replica: this.#batchKey(request, spec, tensors),
    };
  }

  /** Requests with equal keys may share a batch: the same replica, and shapes that differ on axis 0 only. */
  #batchKey(request: ExecuteRequest, spec: VariantSpec, tensors: readonly Tensor[]): string {
    const own = spec.isBatchable
      ? spec.inputs.map(({ name }) =>
          tensors
            .find((tensor) => tensor.name === name)
            ?.shape.slice(1)
            .join('x'),
        )
      : [request.requestId];
    const key = `${replicaName(spec)} ${own.join(',')}`;
    if (this.#specs.size >= MAX_KEPT_KEYS) this.#forgetKeys();
    this.#specs.set(key, spec);
    return key;
  }

  /** Keeps the keys of what waits: a request that cannot be batched has one of its own, and leaves it behind. */
  #forgetKeys(): void {
    const waiting = new Set(this.#queue.entries().map((entry) => entry.replica));
    for (const key of this.#specs.keys()) if (!waiting.has(key)) this.#specs.delete(key);
  }

  #predictMs(batchKey: string, size: number): number {
    return this.#rule.serviceMs(batchKey, size) ?? 0;
  }

  /** The predicted time of all the parts in which so many inputs run; undefined when nothing was measured. */
  #partsMs(
    batchKey: string,
    size: number,
    predict: (spec: VariantSpec, rows: number) => number | undefined,
  ): number | undefined {
    const spec = this.#specs.get(batchKey);
    if (spec === undefined) return undefined;
    let sumMs = 0;
    for (const rows of chunkSizes(size, this.#options.maxBatch)) {
      const partMs = predict(spec, rows);
      if (partMs === undefined) return undefined;
      sumMs += partMs;
    }
    return sumMs;
  }

  #pump(): void {
    const { engines, clock } = this.#options;
    this.#refuseExpired(this.#queue.takeExpired(clock.now()));
    let waitUntil: number | undefined;
    for (const engine of engines) {
      if (this.#queue.length === 0 || waitUntil !== undefined) break;
      if (this.#running.has(engine)) continue;
      const taken = this.#queue.take(clock.now(), this.#rule);
      this.#refuseExpired(taken.expired);
      if (taken.batch.length > 0) void this.#run(engine, taken.batch);
      waitUntil = taken.waitUntil;
    }
    if (waitUntil === undefined) this.#filling.stop();
    else this.#filling.waitUntil(waitUntil);
    this.#settle();
  }

  async #run(engine: Engine, batch: readonly QueuedRequest[]): Promise<void> {
    const { clock, maxBatch, measurements, onResult, onRefused } = this.#options;
    const startedAt = clock.now();
    const filledSince = this.#filling.since ?? startedAt;
    const [head] = batch;
    const spec = head === undefined ? undefined : this.#specs.get(head.replica);
    if (head === undefined || spec === undefined) return;
    const sizes = batch.map((entry) => entry.size);
    const batchSize = sizes.reduce((sum, size) => sum + size, 0);
    const endsAt = startedAt + this.#predictMs(head.replica, batchSize);
    this.#running.set(engine, { replica: replicaName(spec), endsAt, requests: batch.length });
    try {
      const inputs = joinTensors(batch.map((entry) => entry.tensors));
      const run = async (part: readonly ThreadTensor[], rows: number): Promise<RunResult> => {
        const result = await engine.run(replicaName(spec), part);
        measurements.addLive(spec, rows, result.computeMs);
        return result;
      };
      const { tensors, computeMs } = await runInParts(run, inputs, batchSize, maxBatch);
      const outputs = splitTensors(tensors, sizes);
      const finishedAt = clock.now();
      this.#running.delete(engine);
      let batchOffset = 0;
      for (const [index, entry] of batch.entries()) {
        // Everything that is not compute: waiting, joining, and the way to the thread and back.
        const queueMs = Math.max(0, finishedAt - entry.arrivedAt - computeMs);
        const batchWaitMs = Math.min(queueMs, startedAt - Math.max(entry.arrivedAt, filledSince));
        const times = { queueMs, batchWaitMs, computeMs, batchSize, batchOffset };
        onResult(entry.request, outputs[index] ?? [], times);
        batchOffset += entry.size;
      }
    } catch (error) {
      this.#running.delete(engine);
      for (const entry of batch) onRefused(entry.request, asMeshError(error));
    }
    if (this.#closing.signal.aborted) this.#settle();
    else this.#pump();
  }

  /** Refuses a waiting request the moment that it is too late, even while every slot is busy. */
  async #expireAt({ requestId, budgetMs }: ExecuteRequest): Promise<void> {
    const { clock } = this.#options;
    try {
      await clock.sleep(budgetMs, this.#closing.signal);
    } catch {
      return; // Closed: nothing waits any more.
    }
    const isWaiting = this.#queue.entries().some((entry) => entry.request.requestId === requestId);
    if (!isWaiting) return;
    this.#refuseExpired(this.#queue.takeExpired(clock.now()));
    this.#settle();
  }

  #refuseExpired(expired: readonly QueuedRequest[]): void {
    const now = this.#options.clock.now();
    for (const { request, replica, size, deadlineAt } of expired) {
      const leftMs = deadlineAt - now;
      const leastMs = leastServiceMs(this.#rule, replica, size);
      const message =
        leftMs > 0 && leastMs !== undefined
          ? `The request takes ${leastMs.toFixed(1)} ms or longer, and ${leftMs.toFixed(1)} ms are left of its budget of ${request.budgetMs} ms`
          : `The request could not start within its budget of ${request.budgetMs} ms`;
      this.#options.onRefused(request, new MeshError('MESH_DEADLINE_EXCEEDED', message));
    }
  }

  get #isIdle(): boolean {
    return this.#queue.length === 0 && this.#running.size === 0;
  }

  #hasWorkFor(replica: string): boolean {
    const isRunning = [...this.#running.values()].some((batch) => batch.replica === replica);
    return isRunning || this.#queue.entries().some(({ request }) => replicaName(request) === replica);
  }

  /** Tells those who wait for the last request, of a replica or of all. */
  #settle(): void {
    for (const [name, drained] of this.#draining) {
      if (this.#hasWorkFor(name)) continue;
      this.#draining.delete(name);
      drained.resolve();
    }
    if (!this.#isIdle) return;
    this.#specs.clear();
    this.#idle?.resolve();
    this.#idle = undefined;
  }
}

function asMeshError(error: unknown): MeshError {
  if (error instanceof MeshError) return error;
  return new MeshError('MESH_EXECUTION_FAILED', String(error), { cause: error });
}
