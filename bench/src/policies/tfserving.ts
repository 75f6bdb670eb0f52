import type { ScenarioTask } from '../scenario/scenario.ts';
import type { Policy, PolicyFactory, SimulatedRequest, SimulatedWorker, World } from '../simulator/policy.ts';
import {
  type ChosenVariants,
  chooseFixedVariant,
  FIXED_VARIANT_SHARE_OF_SLO,
  type FixedVariant,
  largestBatchWithin,
  placeFixedVariants,
  reachedWorkerMs,
} from './fixed-variant.ts';

/** The batching parameters of TensorFlow Serving, and what a person decides before it runs. */
export interface TfServingOptions {
  /** Default: `chooseFixedVariant`. */
  readonly variants?: ChosenVariants;
  /** `max_batch_size`, inputs; default: by replica the largest whose 99 % quantile is at most half of the SLO. */
  readonly maxBatchSize?: number;
  /** `batch_timeout_micros`, microseconds; default 1,000, "slightly above zero, e.g. 1 millisecond" (batching guide). */
  readonly batchTimeoutMicros?: number;
  /** `max_enqueued_batches`; default 10, that of TensorFlow's `BasicBatchScheduler` and `Batch` operation. */
  readonly maxEnqueuedBatches?: number;
}

interface Replica {
  readonly task: ScenarioTask;
  readonly maxBatchSize: number;
  /** Inputs a second in batches of that size: how often it has its turn. */
  readonly perSecond: number;
  /** Turns that it is owed. */
  credit: number;
}

const DEFAULT_TIMEOUT_MICROS = 1_000;
const DEFAULT_ENQUEUED_BATCHES = 10;

/**
 * TensorFlow Serving (Olston et al., "TensorFlow-Serving: Flexible, High-Performance ML Serving", 2017) behind a round-robin
 * balancer: one variant a task, fixed replicas, static batching by `max_batch_size`, `batch_timeout_micros` and
 * `max_enqueued_batches` as its batching guide describes them. Requests are served first come, first served and never
 * dropped; a full queue refuses. Several tasks on a worker take turns (`SharedBatchScheduler`). No browser tier, no choice of
 * models, no scaling. See docs/baselines.md.
 */
class TfServing implements Policy {
  readonly name = 'tfserving';
  readonly #options: TfServingOptions;
  readonly #fixed = new Map<string, FixedVariant>();
  #replicasOf: ReadonlyMap<string, readonly SimulatedWorker[]> = new Map();
  readonly #replicas = new Map<SimulatedWorker, Map<string, Replica>>();
  /** By worker, the task whose batch ran last. */
  readonly #lastTask = new Map<SimulatedWorker, string>();
  /** By worker and task, what is there or on its way. */
  readonly #outstanding = new Map<SimulatedWorker, Map<string, number>>();
  readonly #sentTo = new Map<number, SimulatedWorker>();

  constructor(options: TfServingOptions = {}) {
    this.#options = options;
  }

  start(world: World): void {
    const { scenario, profiles } = world;
    for (const task of scenario.tasks) {
      const fixed = chooseFixedVariant(scenario, profiles, task, this.#options.variants?.[task.task]);
      if (fixed !== undefined) this.#fixed.set(task.task, fixed);
    }
    this.#replicasOf = placeFixedVariants(world, [...this.#fixed.values()]);
    for (const [name, workers] of this.#replicasOf) {
      const fixed = this.#fixed.get(name);
      for (const worker of workers) {
        const profile = fixed && profiles.find(name, fixed.variant, worker.deviceClass);
        if (fixed === undefined || profile === undefined) continue;
        const tuned = largestBatchWithin(profile, fixed.task.sloMs * FIXED_VARIANT_SHARE_OF_SLO);
        const maxBatchSize = Math.min(profile.maxBatch, this.#options.maxBatchSize ?? tuned);
        const own = this.#replicas.get(worker) ?? new Map<string, Replica>();
        const perSecond = (maxBatchSize * 1_000) / profile.service(maxBatchSize).meanMs;
        own.set(name, { task: fixed.task, maxBatchSize, perSecond, credit: 0 });
        this.#replicas.set(worker, own);
      }
    }
  }

  /** To the next replica in turn, whatever its load; refused where its queue is full. */
  arrive(request: SimulatedRequest, world: World): void {
    const { task } = request;
    const worker = this.#nextInTurn(task);
    const fixed = this.#fixed.get(task);
    const replica = worker && this.#replicas.get(worker)?.get(task);
    if (worker === undefined || fixed === undefined || replica === undefined) {
      world.refuse(request);
      return;
    }
    const outstanding = this.#outstanding.get(worker) ?? new Map<string, number>();
    this.#outstanding.set(worker, outstanding);
    const waiting = outstanding.get(task) ?? 0;
    const most = (this.#options.maxEnqueuedBatches ?? DEFAULT_ENQUEUED_BATCHES) * replica.maxBatchSize;
    if (waiting >= most) {
      world.refuse(request);
      return;
    }
    outstanding.set(task, waiting + 1);
    this.#sentTo.set(request.index, worker);
    world.dispatch(request, worker, fixed.variant);
  }

  formBatch(worker: SimulatedWorker, world: World): { run: number[]; drop: number[] } {
    const queues = this.#queuesOf(worker);
    const timeoutMs = (this.#options.batchTimeoutMicros ?? DEFAULT_TIMEOUT_MICROS) / 1_000;
    let wakeMs = Number.POSITIVE_INFINITY;
    for (const task of this.#inTurn(worker)) {
      const queue = queues.get(task) ?? [];
      const replica = this.#replicas.get(worker)?.get(task);
      const first = worker.queue[queue[0] ?? -1];
      if (replica === undefined || first === undefined) continue;
      const dueMs = reachedWorkerMs(world.scenario, replica.task, first) + timeoutMs;
      if (queue.length >= replica.maxBatchSize || dueMs <= world.nowMs) {
        this.#lastTask.set(worker, task);
        const run = queue.slice(0, replica.maxBatchSize);
        for (const position of run) this.#leaveQueue(worker.queue[position]);
        return { run, drop: [] };
      }
      wakeMs = Math.min(wakeMs, dueMs);
    }
    if (wakeMs < Number.POSITIVE_INFINITY) world.at(wakeMs, () => world.wake(worker));
    return { run: [], drop: [] };
  }

  finished(request: SimulatedRequest): void {
    this.#leaveQueue(request);
  }

  /** Round robin, weighted by what each replica serves, evenly spread (as nginx does). */
  #nextInTurn(task: string): SimulatedWorker | undefined {
    let next: SimulatedWorker | undefined;
    let chosen: Replica | undefined;
    let total = 0;
    for (const worker of this.#replicasOf.get(task) ?? []) {
      const replica = this.#replicas.get(worker)?.get(task);
      if (replica === undefined) continue;
      replica.credit += replica.perSecond;
      total += replica.perSecond;
      if (chosen !== undefined && replica.credit <= chosen.credit) continue;
      next = worker;
      chosen = replica;
    }
    if (chosen !== undefined) chosen.credit -= total;
    return next;
  }

  #leaveQueue(request: SimulatedRequest | undefined): void {
    const worker = request && this.#sentTo.get(request.index);
    if (request === undefined || worker === undefined) return;
    this.#sentTo.delete(request.index);
    const outstanding = this.#outstanding.get(worker);
    outstanding?.set(request.task, Math.max(0, (outstanding.get(request.task) ?? 0) - 1));
  }

  /** Positions of what waits, by task, in the order of arrival. */
  #queuesOf(worker: SimulatedWorker): Map<string, number[]> {
    const queues = new Map<string, number[]>();
    for (const [position, { task }] of worker.queue.entries()) {
      const queue = queues.get(task);
      if (queue === undefined) queues.set(task, [position]);
      else queue.push(position);
    }
    return queues;
  }

  /** The worker's tasks, beginning with the one after that which ran last. */
  #inTurn(worker: SimulatedWorker): string[] {
    const tasks = [...(this.#replicas.get(worker)?.keys() ?? [])];
    const last = tasks.indexOf(this.#lastTask.get(worker) ?? '');
    return [...tasks.slice(last + 1), ...tasks.slice(0, last + 1)];
  }
}

/** TensorFlow Serving with one variant a task and static batching, as a factory. */
export const tfserving: PolicyFactory = () => new TfServing();
