import { setTimeout as sleep } from 'node:timers/promises';
import type { ProfileView } from '@nearfar/core';
import type { Quantiles } from '../profile-table.ts';
import { nearestRank } from '../simulator/result.ts';
import type { MeasuredMesh } from './simulated-replay.ts';
import type { Stage } from './stage.ts';

const WARM_UP_REQUESTS = 30;
const REQUESTS = 300;
const PAGE_REQUESTS = 60;
/** Between two requests, so that what the one before left to do is done. */
const PAUSE_MS = 5;

/** Measures a live mesh with requests that come one at a time, and reads what the mesh itself believes of its workers. */
export async function measureAlone(stage: Stage): Promise<MeasuredMesh> {
  const { http, page, demands, variant, payloadBytes, poolWorkers, prices } = stage;
  const serviceMs: number[] = [];
  const restMs: number[] = [];
  for (let count = 0; count < WARM_UP_REQUESTS + REQUESTS; count += 1) {
    await sleep(PAUSE_MS);
    const { latencyMs, serviceMs: computeMs, queueMs } = await http.call();
    if (count < WARM_UP_REQUESTS || computeMs === undefined || queueMs === undefined) continue;
    // Nothing else waits: what is called queueing is the way to the worker's thread and back, which keeps the worker busy.
    serviceMs.push(computeMs + queueMs);
    restMs.push(latencyMs - computeMs - queueMs);
  }
  const here = await page.measure(PAGE_REQUESTS, 'here');
  const fromPage = await page.measure(PAGE_REQUESTS, 'mesh');
  for (const [what, { length }] of Object.entries({
    HTTP: serviceMs,
    page: here,
    'page to mesh': fromPage,
  })) {
    if (length === 0) throw new Error(`Expected requests (${what}) to be answered, got no answer`);
  }
  return {
    demands,
    accuracy: variant.accuracy.value,
    payloadBytes,
    poolWorkers,
    worker: quantilesOf(serviceMs),
    page: quantilesOf(here),
    ...(await readProfiles(stage, { workerMs: mean(serviceMs), pageMs: mean(here) })),
    httpMs: mean(restMs),
    fromPageMs: Math.max(0, mean(fromPage) - mean(serviceMs)),
    prices,
  };
}

/**
 * By what factor the mesh's profiles differ from what was measured here (1 where it has none), and what a page of the class
 * downloads.
 */
async function readProfiles(
  { mesh, page, demands, variant }: Stage,
  { workerMs, pageMs }: { readonly workerMs: number; readonly pageMs: number },
): Promise<Pick<MeasuredMesh, 'believedTimes' | 'downloadBytes'>> {
  const { profiles } = (await mesh.getJson('/v1/profiles')) as { readonly profiles: readonly ProfileView[] };
  const own = profiles.filter(
    (profile) => profile.task === demands.task && profile.variant === variant.variant,
  );
  const ofPage = own.find(({ deviceClass, batch }) => deviceClass === page.deviceClass && batch === 1);
  const ofWorker = own.find(
    ({ deviceClass, batch }) => deviceClass !== page.deviceClass && batch === demands.rows,
  );
  return {
    believedTimes: {
      worker: ofWorker === undefined ? 1 : ofWorker.meanMs / workerMs,
      // A page takes a request with several inputs to need the time of one for each.
      page: ofPage === undefined ? 1 : (ofPage.meanMs * demands.rows) / pageMs,
    },
    downloadBytes: (ofPage?.modelBytes ?? 0) + (ofPage?.runtimeBytes ?? 0),
  };
}

/** Quantiles by nearest rank. */
function quantilesOf(values: readonly number[]): Quantiles {
  const sorted = values.toSorted((a, b) => a - b);
  return {
    p50Ms: nearestRank(sorted, 0.5),
    p90Ms: nearestRank(sorted, 0.9),
    p99Ms: nearestRank(sorted, 0.99),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
