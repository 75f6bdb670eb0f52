import { toUsd } from '@nearfar/core';
import type { Scenario } from '../scenario/scenario.ts';
import type { Ledger, Tally, WindowTally } from './ledger.ts';

/** Nearest rank over all finished requests; 0 when none finished. */
export interface LatencySummary {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
}

/** Shares of the answers, adding up to 1; all 0 when there were none. */
export interface TierShares {
  readonly browser: number;
  readonly edge: number;
  readonly pool: number;
}

export interface TaskResult {
  readonly requests: number;
  readonly attainment: number;
  readonly violation_ratio: number;
  readonly goodput_rps: number;
  readonly effective_accuracy: number;
  readonly latency_ms: LatencySummary;
  readonly tier_shares: TierShares;
}

/** What happened in a stretch of the run: requests by their arrival, money by when it was spent. */
export interface WindowResult {
  readonly from_s: number;
  readonly requests: number;
  readonly requests_per_s: number;
  /** Undefined where nothing arrived. */
  readonly attainment?: number;
  readonly goodput_rps: number;
  readonly cost_usd: number;
  readonly marginal_cost_usd: number;
  readonly p50_ms?: number;
  readonly p99_ms?: number;
  readonly tier_shares: TierShares;
}

/** What an optimum of the same workload reaches and costs. */
export interface OptimumResult {
  readonly attainment: number;
  /** The highest attainment of any schedule. */
  readonly most_attainment?: number;
  readonly cost_usd?: number;
  readonly marginal_cost_usd: number;
}

/** What `nearfar simulate --json` prints; `bound` and `clairvoyant` come from the optimum. */
export interface SimulationResult {
  readonly policy: string;
  readonly scenario: string;
  readonly seed: number;
  readonly duration_s: number;
  readonly requests: number;
  /** Share of all that arrived that was answered by its deadline. */
  readonly attainment: number;
  /** Late, dropped and refused over all that arrived. */
  readonly violation_ratio: number;
  readonly late: number;
  readonly dropped: number;
  readonly refused: number;
  /** On-time answers a second. */
  readonly goodput_rps: number;
  /** Provisioned workers over the run, egress, request prices and energy. */
  readonly cost_usd: number;
  /** Undefined when no answer was on time. */
  readonly cost_per_1000_usd?: number;
  /** As `cost_usd`, with the workers' busy time instead of the provisioned. */
  readonly marginal_cost_usd: number;
  readonly cost_parts_usd: {
    readonly provisioned: number;
    readonly busy: number;
    readonly loads: number;
    readonly egress: number;
    readonly requests: number;
    readonly energy: number;
  };
  /** Mean accuracy of the on-time answers; 0 when there were none. */
  readonly effective_accuracy: number;
  readonly latency_ms: LatencySummary & { readonly mean: number };
  readonly tier_shares: TierShares;
  readonly mean_batch: number;
  readonly loads: number;
  readonly downloads: number;
  readonly callers: number;
  /** A proven lower bound on the cost at the attainment that the policy reached. */
  readonly bound?: OptimumResult;
  /** The best schedule that was found knowing all arrivals and service times. */
  readonly clairvoyant?: OptimumResult;
  readonly per_task: Readonly<Record<string, TaskResult>>;
  readonly window_s: number;
  readonly windows: readonly WindowResult[];
}

/** The figures of a run that has ended. */
export function summarise(
  policy: string,
  scenario: Scenario,
  ledger: Ledger,
  callers: number,
): SimulationResult {
  const { total, latenciesMs, answered } = ledger;
  const seconds = scenario.durationMs / 1_000;
  const finished = latenciesMs.subarray(0, answered);
  const meanMs = answered === 0 ? 0 : finished.reduce((sum, ms) => sum + ms, 0) / answered;
  const other = ledger.egressPicoUsd + ledger.requestPicoUsd + ledger.energyPicoUsd;
  const costUsd = toUsd(ledger.provisionedPicoUsd + other);
  return {
    policy,
    scenario: scenario.name,
    seed: scenario.seed,
    duration_s: seconds,
    requests: total.requests,
    ...shares(total),
    late: total.late,
    dropped: total.dropped,
    refused: total.refused,
    goodput_rps: total.onTime / seconds,
    cost_usd: costUsd,
    ...(total.onTime > 0 && { cost_per_1000_usd: (costUsd / total.onTime) * 1_000 }),
    marginal_cost_usd: toUsd(ledger.busyPicoUsd + other),
    cost_parts_usd: {
      provisioned: toUsd(ledger.provisionedPicoUsd),
      busy: toUsd(ledger.busyPicoUsd),
      loads: toUsd(ledger.loadPicoUsd),
      egress: toUsd(ledger.egressPicoUsd),
      requests: toUsd(ledger.requestPicoUsd),
      energy: toUsd(ledger.energyPicoUsd),
    },
    effective_accuracy: effectiveAccuracy(total),
    latency_ms: { ...latencies(finished), mean: meanMs },
    tier_shares: tierShares(total),
    mean_batch: ledger.batches === 0 ? 0 : ledger.batchedRequests / ledger.batches,
    loads: ledger.loads,
    downloads: ledger.downloads,
    callers,
    per_task: Object.fromEntries(
      scenario.tasks.map(({ task }, index) => {
        const tally = ledger.byTask[index] as Tally;
        const result: TaskResult = {
          requests: tally.requests,
          ...shares(tally),
          goodput_rps: tally.onTime / seconds,
          effective_accuracy: effectiveAccuracy(tally),
          latency_ms: latencies(ledger.taskLatenciesMs(index)),
          tier_shares: tierShares(tally),
        };
        return [task, result];
      }),
    ),
    window_s: scenario.windowSeconds,
    windows: ledger.windows.map((window, index) => windowResult(window, index, scenario.windowSeconds)),
  };
}

/** The smallest value that a share of the sorted values does not exceed; 0 of none. */
export function nearestRank(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}

function windowResult(window: WindowTally, index: number, seconds: number): WindowResult {
  const sorted = Float64Array.from(window.latenciesMs).sort();
  return {
    from_s: index * seconds,
    requests: window.requests,
    requests_per_s: window.requests / seconds,
    ...(window.requests > 0 && { attainment: window.onTime / window.requests }),
    goodput_rps: window.onTime / seconds,
    cost_usd: toUsd(window.provisionedPicoUsd + window.otherPicoUsd),
    marginal_cost_usd: toUsd(window.busyPicoUsd + window.otherPicoUsd),
    ...(sorted.length > 0 && { p50_ms: nearestRank(sorted, 0.5), p99_ms: nearestRank(sorted, 0.99) }),
    tier_shares: tierShares(window),
  };
}

function shares({ requests, onTime }: Tally): { attainment: number; violation_ratio: number } {
  const attainment = requests === 0 ? 1 : onTime / requests;
  return { attainment, violation_ratio: requests === 0 ? 0 : (requests - onTime) / requests };
}

function effectiveAccuracy({ onTime, accuracySum }: Tally): number {
  return onTime === 0 ? 0 : accuracySum / onTime;
}

/** Sorts what it is given. */
function latencies(finished: Float64Array): LatencySummary {
  finished.sort();
  return {
    p50: nearestRank(finished, 0.5),
    p95: nearestRank(finished, 0.95),
    p99: nearestRank(finished, 0.99),
    p999: nearestRank(finished, 0.999),
  };
}

function tierShares({ tiers: { browser, edge, pool } }: Tally): TierShares {
  const answers = Math.max(1, browser + edge + pool);
  return { browser: browser / answers, edge: edge / answers, pool: pool / answers };
}
