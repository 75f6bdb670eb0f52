import { setTimeout as sleep } from 'node:timers/promises';
import type { Quantiles } from '../profile-table.ts';
import { nearestRank } from '../simulator/result.ts';
import type { HttpCaller } from './http-caller.ts';
import type { LivePage } from './live-page.ts';
import type { MeasuredMesh } from './simulated-replay.ts';

const WARM_UP_REQUESTS = 30;
const REQUESTS = 300;
const PAGE_REQUESTS = 60;
/** Between two requests, so that what the one before left to do is done. */
const PAUSE_MS = 5;

/** What requests take when they come one at a time: a worker's and the page's part, and everything else. */
export async function measureAlone(
  http: HttpCaller,
  page: LivePage,
): Promise<Pick<MeasuredMesh, 'worker' | 'page' | 'httpMs' | 'fromPageMs'>> {
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
  return {
    worker: quantilesOf('requests over HTTP', serviceMs),
    page: quantilesOf('requests in the page', here),
    httpMs: mean(restMs),
    fromPageMs: Math.max(0, mean(fromPage) - mean(serviceMs)),
  };
}

/** Quantiles by nearest rank. */
function quantilesOf(what: string, values: readonly number[]): Quantiles {
  if (values.length === 0) throw new Error(`Expected ${what} to be answered, got no answer`);
  const sorted = values.toSorted((a, b) => a - b);
  return {
    p50Ms: nearestRank(sorted, 0.5),
    p90Ms: nearestRank(sorted, 0.9),
    p99Ms: nearestRank(sorted, 0.99),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}
