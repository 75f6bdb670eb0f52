import { onTimeProbability } from '@nearfar/core';
import type { Moments } from '@nearfar/protocol';
import { type KnownService, P99_SCORE, replicaOf } from '../profile-table.ts';
import type { ScenarioTask } from '../scenario/scenario.ts';
import type { Policy, PolicyFactory, SimulatedRequest, SimulatedWorker, World } from '../simulator/policy.ts';
import { BYTES_PER_GB, MS_PER_HOUR } from '../units.ts';
import { doneByMs } from './fixed-variant.ts';
import { earlyDrop } from './informed/batching.ts';
import { placeByPrice } from './informed/place.ts';
import { aheadOf } from './informed/queue.ts';
import { TransitBook } from './informed/transit.ts';

/** P(on time) that a request is given where that is possible. */
const TARGET = 0.99;
/** Below this nothing is tried: the request would only take the time of others. */
const LEAST_PROBABILITY = 0.2;

/** One way to serve a request, judged. */
interface Judged {
  readonly worker: SimulatedWorker | undefined;
  readonly variant: string;
  readonly accuracy: number;
  readonly costUsd: number;
  readonly probability: number;
}

/**
 * The reference that knows all there is to know except what chance will draw: the true distributions (the profile itself),
 * every queue as it is at this moment, every caller's round trip, every price. It takes for each request the cheapest way
 * whose P(on time) is at least 99 % (the most accurate one where the task prefers that); where there is none, the likeliest
 * that is not hopeless. It looks at one request at a time, without shadow prices: what a clairvoyant gains over it is what
 * knowing the draws and planning ahead are worth. The fleet stays as it is given.
 */
class Informed implements Policy {
  readonly name = 'informed';
  #tasks: ReadonlyMap<string, ScenarioTask> = new Map();
  readonly #moments = new WeakMap<KnownService, Moments>();
  readonly #transit = new TransitBook();

  start(world: World): void {
    this.#tasks = new Map(world.scenario.tasks.map((task) => [task.task, task]));
    placeByPrice(world);
  }

  arrive(request: SimulatedRequest, world: World): void {
    const task = this.#tasks.get(request.task);
    if (task === undefined) throw new RangeError(`Expected the task "${request.task}" to be in the scenario`);
    let best: Judged | undefined;
    const consider = (judged: Judged | undefined) => {
      if (judged !== undefined && (best === undefined || isBetter(judged, best, task))) best = judged;
    };
    for (const worker of world.workers) {
      if (worker.isDraining) continue;
      for (const profile of world.profiles.ofClass(request.task, worker.deviceClass)) {
        if (profile.accuracy < request.minAccuracy) continue;
        if (!worker.ready.has(replicaOf(request.task, profile.variant))) continue;
        consider(this.#atWorker(request, task, worker, profile.variant, profile.accuracy, world));
      }
    }
    const { deviceClass } = request.caller;
    if (deviceClass !== undefined) {
      const remoteUsd = best?.costUsd ?? Number.POSITIVE_INFINITY;
      for (const profile of world.profiles.ofClass(request.task, deviceClass)) {
        if (profile.accuracy < request.minAccuracy) continue;
        const judged = this.#inBrowser(request, profile.variant, profile.accuracy, world);
        if (request.caller.has(replicaOf(request.task, profile.variant))) consider(judged);
        else if (judged !== undefined && judged.probability >= TARGET) {
          const savedUsd = (remoteUsd - judged.costUsd) * world.scenario.browsers.requestsPerCaller;
          const egressUsd = (profile.weightBytes / BYTES_PER_GB) * world.scenario.egressUsdPerGb;
          if (savedUsd > egressUsd) world.prepare(request.caller, request.task, profile.variant);
        }
      }
    }
    if (best === undefined || best.probability < LEAST_PROBABILITY) world.refuse(request);
    else if (best.worker === undefined) world.runInBrowser(request, best.variant);
    else {
      const { variant, worker } = best;
      const arrivesMs =
        world.nowMs + request.caller.rttMs / 2 + task.payloadBytes / world.scenario.network.bytesPerMs;
      this.#transit.add(worker, { task: request.task, variant, arrivesMs });
      world.dispatch(request, worker, variant);
    }
  }

  /** By deadline, earliest first, with early drop; whose variant is next the most urgent request decides. */
  formBatch(worker: SimulatedWorker, world: World): { run: number[]; drop: number[] } {
    const doneBy = worker.queue.map((request) => {
      const task = this.#tasks.get(request.task);
      return task === undefined ? request.deadlineMs : doneByMs(world.scenario, task, request);
    });
    const byDeadline = (a: number, b: number) => (doneBy[a] ?? 0) - (doneBy[b] ?? 0) || a - b;
    const order = [...worker.queue.keys()].sort(byDeadline);
    const nameAt = (position: number) => `${worker.queue[position]?.task}/${worker.variantAt(position)}`;
    const drop: number[] = [];
    for (let left = order; left.length > 0; ) {
      const [head = 0] = left;
      const name = nameAt(head);
      const own = left.filter((position) => nameAt(position) === name);
      const task = worker.queue[head]?.task ?? '';
      const variant = worker.variantAt(head);
      const step = earlyDrop(
        own.map((position) => doneBy[position] ?? 0),
        world.nowMs,
        world.maxBatch(task, variant, worker.deviceClass),
        (batch) => world.service(task, variant, worker.deviceClass, batch)?.p90Ms ?? 0,
      );
      drop.push(...own.slice(0, step.drop));
      if (step.run > 0) return { run: own.slice(step.drop, step.drop + step.run), drop };
      left = left.filter((position) => nameAt(position) !== name);
    }
    return { run: [], drop };
  }

  #atWorker(
    request: SimulatedRequest,
    task: ScenarioTask,
    worker: SimulatedWorker,
    variant: string,
    accuracy: number,
    world: World,
  ): Judged | undefined {
    const { network, requestUsdPerMillion, egressUsdPerGb } = world.scenario;
    const inTransit = this.#transit.of(worker, world.nowMs);
    const ahead = aheadOf(worker, request, variant, inTransit, world);
    const service = world.service(request.task, variant, worker.deviceClass, ahead.batch);
    if (service === undefined) return undefined;
    const smaller =
      ahead.batch > 1 ? world.service(request.task, variant, worker.deviceClass, ahead.batch - 1) : undefined;
    const own = this.#momentsOf(service);
    const thereMs = request.caller.rttMs / 2 + task.payloadBytes / network.bytesPerMs;
    const backMs = request.caller.rttMs / 2 + task.answerBytes / network.bytesPerMs;
    let varianceMs2 = own.varianceMs2;
    let queueMs = 0;
    for (const batch of ahead.batches) {
      const moments = this.#momentsOf(batch);
      queueMs += moments.meanMs;
      varianceMs2 += moments.varianceMs2;
    }
    const residualMs = Math.max(0, worker.predictedFreeMs - world.nowMs);
    // Of the batch that runs only the mean of its end is known; its spread is taken for that of the request's own batch.
    if (residualMs > 0) varianceMs2 += own.varianceMs2;
    const waitMs = Math.max(0, residualMs + queueMs - thereMs);
    const budgetMs = request.deadlineMs - world.nowMs - thereMs - backMs;
    const busyMs = Math.max(0, service.meanMs - (smaller?.meanMs ?? 0));
    return {
      worker,
      variant,
      accuracy,
      costUsd:
        (busyMs * worker.usdPerHour) / MS_PER_HOUR +
        requestUsdPerMillion / 1e6 +
        (task.answerBytes / BYTES_PER_GB) * egressUsdPerGb,
      probability: onTimeProbability({ meanMs: waitMs + own.meanMs, varianceMs2 }, budgetMs),
    };
  }

  #inBrowser(request: SimulatedRequest, variant: string, accuracy: number, world: World): Judged | undefined {
    const { caller } = request;
    const service =
      caller.deviceClass === undefined
        ? undefined
        : world.service(request.task, variant, caller.deviceClass, 1);
    if (service === undefined) return undefined;
    const own = this.#momentsOf(service);
    const waitMs = Math.max(0, caller.predictedFreeMs - world.nowMs);
    return {
      worker: undefined,
      variant,
      accuracy,
      costUsd: (own.meanMs * world.scenario.browsers.energyUsdPerHour) / MS_PER_HOUR,
      probability: onTimeProbability(
        { meanMs: waitMs + own.meanMs, varianceMs2: own.varianceMs2 * (waitMs > 0 ? 2 : 1) },
        request.deadlineMs - world.nowMs,
      ),
    };
  }

  #momentsOf(service: KnownService): Moments {
    const known = this.#moments.get(service);
    if (known !== undefined) return known;
    const moments = momentsOf(service);
    this.#moments.set(service, moments);
    return moments;
  }
}

/** Mean of a service, with the variance of the log-normal time that has its median and 99 % quantile. */
export function momentsOf({ meanMs, p50Ms, p99Ms }: KnownService): Moments {
  const scale = Math.log(p99Ms / p50Ms) / P99_SCORE;
  return { meanMs, varianceMs2: meanMs * meanMs * Math.expm1(scale * scale) };
}

/** Whether the first of two ways is the better one: on time first, then what the task prefers, then the other. */
function isBetter(a: Judged, b: Judged, { prefer }: ScenarioTask): boolean {
  const isSure = a.probability >= TARGET;
  if (isSure !== b.probability >= TARGET) return isSure;
  if (!isSure) return a.probability > b.probability;
  const cheaper = a.costUsd - b.costUsd;
  const moreAccurate = b.accuracy - a.accuracy;
  const order = prefer === 'accuracy' ? moreAccurate || cheaper : cheaper || moreAccurate;
  return order < 0 || (order === 0 && a.probability > b.probability);
}

/** The informed reference, as a factory. */
export const informed: PolicyFactory = () => new Informed();
