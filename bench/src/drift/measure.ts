import type { Finished } from './run.ts';

/** Requests in a window over which the promised shares are to hold. */
const WINDOW = 2_000;
/** Requests after a change that are for recovering. */
const SETTLED_AFTER = 300;
/** Requests over which recovery is judged, and how near to 95 % the true share is by then. */
const RECOVERY_WINDOW = 100;
const RECOVERED = { least: 0.93, most: 0.97 };

/** The least and the largest share of promises that held in a window. */
export interface Coverage {
  least95: number;
  most95: number;
  least99: number;
  most99: number;
}

/** How well promises held over a drift schedule. */
export interface DriftReport {
  /** Over every window that starts at least 300 requests after a change and ends before the next. */
  readonly settled: Readonly<Coverage>;
  /** Over those as well that a later change falls into. */
  readonly spanning: Readonly<Coverage>;
  /** Quantile loss against that of an oracle that knows the distribution of each moment. */
  readonly pinballRatio: number;
  /** For each stage, how many requests after the change the promised 95 % truly were 93 to 97 % over 100 requests. */
  readonly recoverRequests: readonly number[];
}

/** Measures the finished requests of a schedule, in their order. */
export function measureDrift(finished: readonly Finished[]): DriftReport {
  const held95 = runningSum(finished, ({ within95 }) => (within95 ? 1 : 0));
  const held99 = runningSum(finished, ({ within99 }) => (within99 ? 1 : 0));
  const settled: Coverage = { least95: 1, most95: 0, least99: 1, most99: 0 };
  const spanning: Coverage = { least95: 1, most95: 0, least99: 1, most99: 0 };
  for (let start = 0; start + WINDOW <= finished.length; start += 1) {
    const first = finished[start];
    if (first === undefined || first.sinceChange < SETTLED_AFTER) continue;
    const share = (sums: Float64Array) => ((sums[start + WINDOW] ?? 0) - (sums[start] ?? 0)) / WINDOW;
    include(spanning, share(held95), share(held99));
    if (finished[start + WINDOW - 1]?.stage === first.stage) include(settled, share(held95), share(held99));
  }
  const sumOf = (value: (request: Finished) => number) =>
    finished.reduce((sum, request) => sum + value(request), 0);
  const stages = [...new Set(finished.map(({ stage }) => stage))];
  return {
    settled,
    spanning,
    pinballRatio: sumOf(({ loss }) => loss) / sumOf(({ oracleLoss }) => oracleLoss),
    recoverRequests: stages.map((stage) => recovery(finished.filter((request) => request.stage === stage))),
  };
}

/** The widest of several. */
export function widest(coverages: readonly Readonly<Coverage>[]): Readonly<Coverage> {
  const all: Coverage = { least95: 1, most95: 0, least99: 1, most99: 0 };
  for (const { least95, most95, least99, most99 } of coverages) {
    include(all, least95, least99);
    include(all, most95, most99);
  }
  return all;
}

function include(coverage: Coverage, share95: number, share99: number): void {
  coverage.least95 = Math.min(coverage.least95, share95);
  coverage.most95 = Math.max(coverage.most95, share95);
  coverage.least99 = Math.min(coverage.least99, share99);
  coverage.most99 = Math.max(coverage.most99, share99);
}

/** Infinite where it did not recover. */
function recovery(requests: readonly Finished[]): number {
  const sums = runningSum(requests, ({ true95 }) => true95);
  for (let start = 0; start + RECOVERY_WINDOW <= requests.length; start += 1) {
    const share = ((sums[start + RECOVERY_WINDOW] ?? 0) - (sums[start] ?? 0)) / RECOVERY_WINDOW;
    if (share >= RECOVERED.least && share <= RECOVERED.most) return start;
  }
  return Number.POSITIVE_INFINITY;
}

function runningSum(requests: readonly Finished[], value: (request: Finished) => number): Float64Array {
  const sums = new Float64Array(requests.length + 1);
  for (const [index, request] of requests.entries()) sums[index + 1] = (sums[index] ?? 0) + value(request);
  return sums;
}
