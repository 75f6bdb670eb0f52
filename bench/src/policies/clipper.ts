import type { Policy, PolicyFactory, SimulatedRequest, SimulatedWorker, World } from '../simulator/policy.ts';
import { AimdBatchSize } from './aimd.ts';
import { chooseFixedVariant, type FixedVariant, placeFixedVariants } from './fixed-variant.ts';

/** What a person decides before Clipper runs. */
export interface ClipperOptions {
  /**
   * Part of the SLO that a batch may take before its size is cut (default 0.5). The paper compares the whole SLO with the
   * batch alone; half of it leaves time for the batch before, which is in Clipper's favour.
   */
  readonly objectiveShareOfSlo?: number;
}

interface Replica {
  readonly aimd: AimdBatchSize;
  readonly objectiveMs: number;
}

/** A batch that runs; judged once, by the first of its requests that ends. */
interface RunningBatch {
  readonly replica: Replica;
  isJudged: boolean;
}

/**
 * Clipper (Crankshaw et al., "Clipper: A Low-Latency Online Prediction Serving System", NSDI'17): one variant a task that a
 * person chose, a fixed number of replicas, and for each replica by itself the largest batch that AIMD finds (section
 * 4.3.1). Requests are taken in the order of their deadlines and dropped once these have passed, as in the released
 * `ModelQueue`. No browser tier, no choice of models, no scaling. See docs/baselines.md.
 */
export class Clipper implements Policy {
  readonly name = 'clipper';
  readonly #options: ClipperOptions;
  readonly #fixed = new Map<string, FixedVariant>();
  #replicasOf: ReadonlyMap<string, readonly SimulatedWorker[]> = new Map();
  readonly #replicas = new Map<SimulatedWorker, Map<string, Replica>>();
  readonly #running = new Map<number, RunningBatch>();

  constructor(options: ClipperOptions = {}) {
    this.#options = options;
  }

  start(world: World): void {
    const { scenario, profiles } = world;
    const share = this.#options.objectiveShareOfSlo ?? 0.5;
    for (const task of scenario.tasks) {
      const fixed = chooseFixedVariant(scenario, profiles, task);
      if (fixed !== undefined) this.#fixed.set(task.task, fixed);
    }
    this.#replicasOf = placeFixedVariants(world, [...this.#fixed.values()]);
    for (const [task, workers] of this.#replicasOf) {
      const fixed = this.#fixed.get(task);
      if (fixed === undefined) continue;
      for (const worker of workers) {
        const aimd = new AimdBatchSize(world.maxBatch(task, fixed.variant, worker.deviceClass));
        const own = this.#replicas.get(worker) ?? new Map<string, Replica>();
        own.set(task, { aimd, objectiveMs: fixed.task.sloMs * share });
        this.#replicas.set(worker, own);
      }
    }
  }

  /**
   * To the replica with the least predicted work ahead. Clipper's replicas take batches out of one queue when they are idle;
   * with a network between, the nearest to that is to send to the one that will be idle first. Ties: the first.
   */
  arrive(request: SimulatedRequest, world: World): void {
    const fixed = this.#fixed.get(request.task);
    let best: SimulatedWorker | undefined;
    let leastMs = Number.POSITIVE_INFINITY;
    for (const worker of this.#replicasOf.get(request.task) ?? []) {
      const aheadMs = fixed === undefined ? 0 : this.#aheadMs(worker, fixed, world);
      if (aheadMs >= leastMs) continue;
      best = worker;
      leastMs = aheadMs;
    }
    if (best === undefined || fixed === undefined) world.refuse(request);
    else world.dispatch(request, best, fixed.variant);
  }

  formBatch(worker: SimulatedWorker, world: World): { run: number[]; drop: number[] } {
    const drop: number[] = [];
    let head = -1;
    for (let index = 0; index < worker.queue.length; index += 1) {
      const request = worker.queue[index];
      if (request === undefined) continue;
      if (request.deadlineMs <= world.nowMs) drop.push(index);
      else if (head < 0 || request.deadlineMs < (worker.queue[head]?.deadlineMs ?? 0)) head = index;
    }
    const first = worker.queue[head];
    const replica = first === undefined ? undefined : this.#replicas.get(worker)?.get(first.task);
    if (first === undefined || replica === undefined) return { run: [], drop };

    const run: number[] = [];
    for (let index = 0; index < worker.queue.length; index += 1) {
      const request = worker.queue[index];
      if (request?.task === first.task && request.deadlineMs > world.nowMs) run.push(index);
    }
    const deadlineAt = (index: number) => worker.queue[index]?.deadlineMs ?? 0;
    run.sort((a, b) => deadlineAt(a) - deadlineAt(b) || a - b);
    run.length = Math.min(run.length, replica.aimd.size);
    const batch: RunningBatch = { replica, isJudged: false };
    for (const index of run) this.#running.set(worker.queue[index]?.index ?? -1, batch);
    return { run, drop };
  }

  finished(request: SimulatedRequest, outcome: Parameters<NonNullable<Policy['finished']>>[1]): void {
    const batch = this.#running.get(request.index);
    if (batch === undefined) return;
    this.#running.delete(request.index);
    if (batch.isJudged || outcome.kind !== 'answered') return;
    batch.isJudged = true;
    batch.replica.aimd.observe(outcome.batchSize, outcome.serviceMs, batch.replica.objectiveMs);
  }

  /** The batch size that a replica has found; undefined where the worker does not hold the task's variant. */
  batchSize(worker: SimulatedWorker, task: string): number | undefined {
    return this.#replicas.get(worker)?.get(task)?.aimd.size;
  }

  #aheadMs(worker: SimulatedWorker, fixed: FixedVariant, world: World): number {
    const { task } = fixed.task;
    const batch = this.#replicas.get(worker)?.get(task)?.aimd.size ?? 1;
    const serviceMs = world.service(task, fixed.variant, worker.deviceClass, batch)?.meanMs ?? 0;
    const waiting = worker.queue.length + worker.inTransit;
    const batches = Math.floor(waiting / batch) + 1;
    return Math.max(0, worker.predictedFreeMs - world.nowMs) + batches * serviceMs;
  }
}

/** Clipper with one variant a task and AIMD batching, as a factory. */
export const clipper: PolicyFactory = () => new Clipper();
