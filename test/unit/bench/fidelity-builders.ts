import type { EndedRequest } from '../../../bench/src/fidelity/requests.ts';
import type { MeasuredMesh } from '../../../bench/src/fidelity/simulated-replay.ts';
import { gammaArrivals } from '../../../bench/src/scenario/gamma-arrivals.ts';

/** A mesh of one edge and two pool workers that take 12 ms a run, and a page that takes 80 ms. */
export function measuredMesh(over: Partial<MeasuredMesh> = {}): MeasuredMesh {
  return {
    demands: { task: 'fashion', minAccuracy: 0.94, rows: 16, sloTarget: 0.9, sloMs: 200, pageSloMs: 500 },
    accuracy: 0.94,
    payloadBytes: 50_176,
    poolWorkers: 2,
    worker: { p50Ms: 12, p90Ms: 13, p99Ms: 16 },
    page: { p50Ms: 80, p90Ms: 84, p99Ms: 90 },
    believedTimes: { worker: 1, page: 1 },
    downloadBytes: 12_000_000,
    httpMs: 3,
    fromPageMs: 15,
    prices: {
      date: '2026-11-23',
      edge: { usdPerCpuHour: 0.072, source: 'test' },
      pool: { usdPerHour: { cuda: 0.8, webgpu: 0.8, cpu: 0.8 }, source: 'test' },
      egress: { answersUsdPerGb: 0.02, artifactsUsdPerGb: 0.02, source: 'test' },
      browser: { energyUsdPerHour: 0.0045, expectedReuse: 5_000, source: 'test' },
    },
    ...over,
  };
}

/** Requests as they were made, every tenth of them by the page's user. */
export function planned(load: {
  readonly perSecond: number;
  readonly seconds: number;
}): Pick<EndedRequest, 'arrivalMs' | 'sentMs' | 'isOfPage'>[] {
  return gammaArrivals({ ...load, squaredVariation: 1 }, 7).map(({ arrivalMs }, index) => ({
    arrivalMs,
    sentMs: arrivalMs,
    isOfPage: index % 10 === 0,
  }));
}

/** A request that was answered at the edge, in time. */
export function ended(over: Partial<EndedRequest> = {}): EndedRequest {
  return { arrivalMs: 0, sentMs: 0, isOfPage: false, latencyMs: 20, tier: 'edge', isOnTime: true, ...over };
}
