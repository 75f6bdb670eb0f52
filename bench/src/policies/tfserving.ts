import type { ScenarioTask } from '../scenario/scenario.ts';
import type { Policy, PolicyFactory, SimulatedRequest, SimulatedWorker, World } from '../simulator/policy.ts';
import {
  chooseFixedVariant,
  FIXED_VARIANT_SHARE_OF_SLO,
  type FixedVariant,
  largestBatchWithin,
  placeFixedVariants,
  reachedWorkerMs,
} from './fixed-variant.ts';
import { nextInTurn, type Turn } from './turns.ts';

/** `batch_timeout_micros`, in milliseconds: "slightly above zero, e.g. 1 millisecond" (batching guide). */
const BATCH_TIMEOUT_MS = 1;
/** `max_enqueued_batches`: the default of TensorFlow's `BasicBatchScheduler` and `Batch` operation. */
const MAX_ENQUEUED_BATCHES = 10;

/** A worker that serves a task; `perSecond` are the inputs that it serves in batches of the largest size. */
interface Replica extends Turn {
  readonly worker: SimulatedWorker;
  readonly task: ScenarioTask;
  /** `max_batch_size`, inputs: the largest whose 99 % quantile is at most half of the SLO. */
  readonly maxBatchSize: number;
}

/**
 * TensorFlow Serving (Olston et al., "TensorFlow-Serving: Flexible, High-Performance ML Serving", 2017) behind a round-robin
 * balancer: one variant a task, fixed replicas, static batching by `max_batch_size`, `batch_timeout_micros` and
 * `max_enqueued_batches` as its batching guide describes them. Requests are served first come, first served and never
 * dropped; a full queue refuses. Several tasks on a worker take turns (`SharedBatchScheduler`). No browser tier, no choice of
 * models, no scaling. See docs/baselines.md.
 */
class TfServing implements Policy {
  readonly name = 'tfserving';
  readonly #fixed = new Map<string, FixedVariant>();
  /** By task, in the order of the workers. */
  readonly #replicasOf = new Map<string, Replica[]>();
  readonly #replicas = new Map<SimulatedWorker, Map<string, Replica>>();
  /** By worker, the task whose batch ran last. */
  readonly #lastTask = new Map<SimulatedWorker, string>();
  /** By worker and task, what is there or on its way. */
  readonly #outstanding = new Map<SimulatedWorker, Map<string, number>>();
  readonly #sentTo = new Map<number, SimulatedWorker>();

  start(world: World): void {
    const { scenario, profiles } = world;
    for (const task of scenario.tasks) {
      const fixed = chooseFixedVariant(scenario, profiles, task);
      if (fixed !== undefined) this.#fixed.set(task.task, fixed);
    }
    for (const [name, workers] of placeFixedVariants(world, [...this.#fixed.values()])) {
      const replicas: Replica[] = [];
      this.#replicasOf.set(name, replicas);
      const fixed = this.#fixed.get(name);
      for (const worker of workers) {
        const profile = fixed && profiles.find(name, fixed.variant, worker.deviceClass);
        if (fixed === undefined || profile === undefined) continue;
        const maxBatchSize = largestBatchWithin(profile, fixed.task.sloMs * FIXED_VARIANT_SHARE_OF_SLO);
        const own = this.#replicas.get(worker) ?? new Map<string, Replica>();
        const perSecond = (maxBatchSize * 1_000) / profile.service(maxBatchSize).meanMs;
        const replica: Replica = { worker, task: fixed.task, maxBatchSize, perSecond, credit: 0 };
        own.set(name, replica);
        replicas.push(replica);
        this.#replicas.set(worker, own);
      }
    }
  }

  /** To the next replica in turn, whatever its load; refused where its queue is full. */
  arrive(request: SimulatedRequest, world: World): void {
    const { task } = request;
    const fixed = this.#fixed.get(task);
    const replica = nextInTurn(this.#replicasOf.get(task) ?? []);
    if (fixed === undefined || replica === undefined) {
      world.refuse(request);
      return;
    }
    const { worker, maxBatchSize } = replica;
    const outstanding = this.#outstanding.get(worker) ?? new Map<string, number>();
    this.#outstanding.set(worker, outstanding);
    const waiting = outstanding.get(task) ?? 0;
    if (waiting >= MAX_ENQUEUED_BATCHES * maxBatchSize) {
      world.refuse(request);
      return;
    }
    outstanding.set(task, waiting + 1);
    this.#sentTo.set(request.index, worker);
    world.dispatch(request, worker, fixed.variant);
  }

  formBatch(worker: SimulatedWorker, world: World): { run: number[]; drop: number[] } {
    const queues = this.#queuesOf(worker);
    let wakeMs = Number.POSITIVE_INFINITY;
    for (const task of this.#inTurn(worker)) {
      const queue = queues.get(task) ?? [];
      const replica = this.#replicas.get(worker)?.get(task);
      const first = worker.queue[queue[0] ?? -1];
      if (replica === undefined || first === undefined) continue;
      const dueMs = reachedWorkerMs(world.scenario, replica.task, first) + BATCH_TIMEOUT_MS;
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
