import { LIMITS, type Parameters } from '@nearfar/protocol';
import { fromUsd } from './cost.ts';

/** What a caller demands of one request, with every default filled in. */
export interface RequestSpec {
  /** Soft deadline, counted from the request's arrival, in milliseconds. */
  readonly sloMs: number;
  /** Least probability of meeting the deadline that a feasible placement has, 0 to 1. */
  readonly sloTarget: number;
  readonly minAccuracy: number;
  /** Accuracy that will still do where nothing of `minAccuracy` is on time; undefined = none below it. */
  readonly degradeTo: number | undefined;
  readonly model: string | undefined;
  /** Pins one variant; from `/versions/{variant}` in the URL. */
  readonly variant: string | undefined;
  /** Bound on the worst-case cost; undefined = no bound. */
  readonly maxCostPicoUsd: number | undefined;
  readonly prefer: 'cost' | 'accuracy';
  readonly privacy: 'any' | 'no_pool' | 'local_only';
  readonly onInfeasible: 'best_effort' | 'reject';
  readonly priority: number;
  /** Hard stop in milliseconds from the request's arrival. */
  readonly timeoutMs: number;
  readonly explain: boolean;
}

/** A request that names no hard stop is given up after this many of its deadlines, and never before `MIN_TIMEOUT_MS`. */
const TIMEOUT_IN_DEADLINES = 10;
const MIN_TIMEOUT_MS = 5_000;

/** Fills in a request: the caller's parameters first, then the task's defaults, then ours. */
export function resolveSpec(parameters: Parameters, defaults: Parameters, variant?: string): RequestSpec {
  const merged: Parameters = { ...defaults, ...parameters };
  const sloMs = merged.slo_ms ?? LIMITS.defaultSloMs;
  const timeoutMs =
    merged.timeout === undefined
      ? Math.min(LIMITS.maxSloMs, Math.max(MIN_TIMEOUT_MS, sloMs * TIMEOUT_IN_DEADLINES))
      : merged.timeout / 1_000;
  return {
    sloMs,
    sloTarget: merged.slo_target ?? LIMITS.defaultSloTarget,
    minAccuracy: merged.min_accuracy ?? 0,
    degradeTo: merged.degrade_to,
    model: merged.model,
    variant,
    maxCostPicoUsd: merged.max_cost_usd === undefined ? undefined : fromUsd(merged.max_cost_usd),
    prefer: merged.prefer ?? 'cost',
    privacy: merged.privacy ?? 'any',
    onInfeasible: merged.on_infeasible ?? 'best_effort',
    priority: merged.priority ?? 0,
    timeoutMs,
    explain: merged.explain ?? false,
  };
}
