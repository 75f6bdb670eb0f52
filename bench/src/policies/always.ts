import { replicaOf } from '../profile-table.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { Policy, SimulatedRequest, SimulatedWorker, World } from '../simulator/policy.ts';
import { fastestVariant, loadStanding } from './standing.ts';

/** Every request on its caller's own device; a caller whose device can run nothing that is accurate enough is refused. */
export function alwaysBrowser(): Policy {
  return {
    name: 'always-browser',
    start: () => undefined,
    arrive(request, world) {
      const { deviceClass } = request.caller;
      const profile =
        deviceClass === undefined
          ? undefined
          : fastestVariant(world, request.task, deviceClass, request.minAccuracy);
      if (profile === undefined) world.refuse(request);
      else world.runInBrowser(request, profile.variant);
    },
  };
}

/** Every request on an edge worker. */
export function alwaysEdge(scenario: Scenario): Policy {
  return new AlwaysTier('edge', scenario);
}

/** Every request on a pool worker. */
export function alwaysPool(scenario: Scenario): Policy {
  return new AlwaysTier('pool', scenario);
}

/**
 * Every request on one tier: of each task the fastest variant that is accurate enough, for good, on whichever worker will be
 * free first.
 */
class AlwaysTier implements Policy {
  readonly name: string;
  readonly #tier: 'edge' | 'pool';
  readonly #minAccuracy: ReadonlyMap<string, number>;
  readonly #variants = new Map<string, string | undefined>();

  constructor(tier: 'edge' | 'pool', { tasks }: Scenario) {
    this.name = `always-${tier}`;
    this.#tier = tier;
    this.#minAccuracy = new Map(tasks.map(({ task, minAccuracy }) => [task, minAccuracy]));
  }

  start(world: World): void {
    loadStanding(world, (task, worker) => {
      const profile =
        worker.tier === this.#tier
          ? fastestVariant(world, task, worker.deviceClass, this.#minAccuracy.get(task) ?? 0)
          : undefined;
      this.#variants.set(`${task}@${worker.deviceClass}`, profile?.variant);
      return profile === undefined ? [] : [profile];
    });
  }

  arrive(request: SimulatedRequest, world: World): void {
    let best: SimulatedWorker | undefined;
    let bestVariant = '';
    let bestMs = Number.POSITIVE_INFINITY;
    for (const worker of world.workers) {
      if (worker.tier !== this.#tier) continue;
      const variant = this.#variants.get(`${request.task}@${worker.deviceClass}`);
      if (variant === undefined || !worker.ready.has(replicaOf(request.task, variant))) continue;
      const freeMs = predictedFreeMs(worker, world);
      if (freeMs >= bestMs) continue;
      best = worker;
      bestVariant = variant;
      bestMs = freeMs;
    }
    if (best === undefined) world.refuse(request);
    else world.dispatch(request, best, bestVariant);
  }
}

/**
 * When a worker will have run what it has and what is under way to it, as if each ran alone. Batches make it sooner, but in the
 * same order among workers of one class.
 */
export function predictedFreeMs(worker: SimulatedWorker, world: World): number {
  return Math.max(world.nowMs, worker.predictedFreeMs) + worker.backlogMs;
}
