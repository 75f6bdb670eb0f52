import { picoUsdPerMs } from '@nearfar/core';
import { replicaOf } from '../profile-table.ts';
import type { Policy, SimulatedRequest, SimulatedWorker, World } from '../simulator/policy.ts';
import { BYTES_PER_GB } from '../units.ts';
import { predictedFreeMs } from './always.ts';
import { loadStanding } from './standing.ts';

/** What one place would give a request. */
interface Offer {
  readonly variant: string;
  /** Undefined = the caller's own device. */
  readonly worker: SimulatedWorker | undefined;
  readonly latencyMs: number;
  readonly costPicoUsd: number;
}

/** Each request where it is predicted to be answered first; among equals the cheaper. Costs nothing else to think about. */
export function greedyLatency(): Policy {
  return greedy('greedy-latency', (a, b) => a.latencyMs - b.latencyMs || a.costPicoUsd - b.costPicoUsd);
}

/** Each request where it costs least, whatever the deadline; among equals the one that is answered first. */
export function greedyCost(): Policy {
  return greedy('greedy-cost', (a, b) => a.costPicoUsd - b.costPicoUsd || a.latencyMs - b.latencyMs);
}

/** Every worker holds all variants that it has room for; only those that are accurate enough are looked at. */
function greedy(name: string, compare: (a: Offer, b: Offer) => number): Policy {
  return {
    name,
    start(world) {
      loadStanding(world, (task, worker) => world.profiles.ofClass(task, worker.deviceClass));
    },
    arrive(request, world) {
      let best: Offer | undefined;
      for (const offer of offersOf(request, world)) {
        if (best === undefined || compare(offer, best) < 0) best = offer;
      }
      if (best === undefined) world.refuse(request);
      else if (best.worker === undefined) world.runInBrowser(request, best.variant);
      else world.dispatch(request, best.worker, best.variant);
    },
  };
}

function* offersOf(request: SimulatedRequest, world: World): Generator<Offer> {
  const { caller, task, minAccuracy } = request;
  const { network, browsers, egressUsdPerGb, tasks, requestUsdPerMillion } = world.scenario;
  if (caller.deviceClass !== undefined) {
    for (const profile of world.profiles.ofClass(task, caller.deviceClass)) {
      if (profile.accuracy < minAccuracy) continue;
      const isThere = caller.has(replicaOf(task, profile.variant));
      const fetchMs = isThere ? 0 : profile.loadMs + caller.rttMs + profile.weightBytes / network.bytesPerMs;
      const waitMs = Math.max(0, caller.predictedFreeMs - world.nowMs);
      const { meanMs } = profile.service(1);
      const weightUsd = isThere ? 0 : (profile.weightBytes * egressUsdPerGb) / BYTES_PER_GB;
      yield {
        variant: profile.variant,
        worker: undefined,
        latencyMs: Math.max(waitMs, fetchMs) + meanMs,
        // A download is for all the requests that its caller is expected to make.
        costPicoUsd:
          meanMs * picoUsdPerMs(browsers.energyUsdPerHour) + (weightUsd * 1e12) / browsers.requestsPerCaller,
      };
    }
  }
  const spec = tasks.find((entry) => entry.task === task);
  const bytes = (spec?.payloadBytes ?? 0) + (spec?.answerBytes ?? 0);
  const networkMs = caller.rttMs + bytes / network.bytesPerMs;
  const fixedPicoUsd =
    requestUsdPerMillion * 1e6 + (((spec?.answerBytes ?? 0) * egressUsdPerGb) / BYTES_PER_GB) * 1e12;
  for (const worker of world.workers) {
    if (worker.isDraining) continue;
    const waitMs = predictedFreeMs(worker, world) - world.nowMs;
    for (const profile of world.profiles.ofClass(task, worker.deviceClass)) {
      if (profile.accuracy < minAccuracy || !worker.ready.has(replicaOf(task, profile.variant))) continue;
      const { meanMs } = profile.service(1);
      yield {
        variant: profile.variant,
        worker,
        latencyMs: networkMs + waitMs + meanMs,
        costPicoUsd: meanMs * picoUsdPerMs(worker.usdPerHour) + fixedPicoUsd,
      };
    }
  }
}
