import { capacityBound } from './capacity-bound.ts';
import type { Instance } from './known-run.ts';
import { type Needs, needsOf } from './needs.ts';

/** A proven bound: no schedule has more on time, and none with at least the asked number on time costs less. */
export interface Bound {
  readonly mostOnTime: number;
  /** Busy time, egress, requests and energy; infinite where more is asked than can be. */
  readonly marginalUsd: number;
}

/** The least that a request can take part in, over all that may serve it. */
interface Least {
  /** Infinity = cannot be on time. */
  readonly usd: number;
  /** Worker time, as a share of a batch; 0 where its own device may do it, Infinity = cannot be on time. */
  readonly workMs: number;
  /** What it adds at least to the cost when it is late or dropped; never above 0. */
  readonly lateUsd: number;
  /** The least share of any batch, on time or not; never above 0. */
  readonly shareMs: number;
  /** Batches that it may be part of. */
  readonly mostBatches: number;
}

/** Lengths of the windows of the demand bound, in longest budgets. */
const WINDOW_LENGTHS = [1, 4, 16, 64, 256, 1_024, 4_096];
/** Sums of the same times in another order differ by rounding. */
const SLACK = 1e-9;

/**
 * Bounds an instance.
 *
 * Cost. Each batch's time is at least the sum of its members' shares (`BatchShares`), so a schedule's cost is at least the sum
 * over requests of the cheapest share (over class, variant and batch size) that still leaves time to be done by its due time, or
 * of its own device's energy with its part of the download: all uses of one download pay for it together, so each of a caller's
 * n requests pays one n-th at least. A request that is late or dropped adds at least its cheapest share where that is below 0,
 * else nothing; so does a second batch of one that a small stage hands on to a large one. At least k are on time: the k that add the least over being late make the least sum. Queues, memory
 * and common membership of a batch are left out, which only makes it cheaper; capacity comes in by `capacityBound`.
 *
 * On time. What is on time and lies within a window runs within it, and the workers have no more time than the window's length
 * each. Its batches may hold other requests too, but these add no less than the sum of all shares below 0 in the whole
 * instance, as each request is in one batch. So no more of the window's requests can be on time than have shares that add up to
 * the workers' time and that sum. Windows that do not overlap have different requests, so their misses add up. ∎
 */
export function bound(instance: Instance, atLeastOnTime?: number): Bound {
  const uses = new Map<string, number>();
  for (const { caller, task } of instance.requests) {
    uses.set(`${caller} ${task}`, (uses.get(`${caller} ${task}`) ?? 0) + 1);
  }
  const shared = instance.requests.map(({ caller, task }) => uses.get(`${caller} ${task}`) ?? 1);
  const needs = needsOf(instance, shared);
  const least = needs.map((need) => leastOf(need, instance));
  const mostOnTime = onTimeBound(instance, least);
  const wanted = atLeastOnTime ?? mostOnTime;
  if (wanted > mostOnTime) return { mostOnTime, marginalUsd: Number.POSITIVE_INFINITY };
  const extra = Float64Array.from(least, ({ usd, lateUsd }) => usd - lateUsd).sort();
  let marginalUsd = least.reduce((sum, { lateUsd, mostBatches }) => sum + mostBatches * lateUsd, 0);
  // An on-time request may also add less than a late one: then it is taken whether it is needed or not.
  for (let index = 0; index < extra.length; index += 1) {
    const usd = extra[index] ?? 0;
    if (index < wanted || usd < 0) marginalUsd += usd;
  }
  return { mostOnTime, marginalUsd: Math.max(marginalUsd, capacityBound(instance, wanted, shared, needs)) };
}

function leastOf(
  { onTimeMs, lateMs, remoteUsd, privateUsd, mostBatches }: Needs,
  { classes }: Instance,
): Least {
  let usd = privateUsd;
  let workMs = privateUsd < Number.POSITIVE_INFINITY ? 0 : Number.POSITIVE_INFINITY;
  let lateUsd = 0;
  let shareMs = 0;
  for (const [index, { usdPerMs }] of classes.entries()) {
    const ms = onTimeMs[index] ?? Number.POSITIVE_INFINITY;
    // A price of 0 makes nothing possible that is not.
    if (ms < Number.POSITIVE_INFINITY) usd = Math.min(usd, ms * usdPerMs + remoteUsd);
    workMs = Math.min(workMs, ms);
    shareMs = Math.min(shareMs, lateMs[index] ?? 0);
    lateUsd = Math.min(lateUsd, (lateMs[index] ?? 0) * usdPerMs);
  }
  return { usd, workMs, lateUsd, shareMs, mostBatches };
}

function onTimeBound({ requests, classes }: Instance, least: readonly Least[]): number {
  const workers = classes.reduce((sum, { count }) => sum + count, 0);
  const lentMs = least.reduce(
    (sum, { shareMs, mostBatches }) => sum + mostBatches * Math.max(0, -shareMs),
    0,
  );
  const feasible = requests.flatMap(({ releaseMs, dueMs }, index) => {
    const workMs = least[index]?.workMs ?? Number.POSITIVE_INFINITY;
    if (workMs === Number.POSITIVE_INFINITY) return [];
    return [{ releaseMs, dueMs, workMs }];
  });
  const budgetMs = feasible.reduce((most, { releaseMs, dueMs }) => Math.max(most, dueMs - releaseMs), 0);
  let misses = 0;
  for (const length of WINDOW_LENGTHS) {
    const windowMs = length * budgetMs;
    const windows = new Map<number, number[]>();
    for (const { releaseMs, dueMs, workMs } of feasible) {
      const window = Math.floor(releaseMs / windowMs);
      if (workMs <= 0 || dueMs > (window + 1) * windowMs) continue;
      const works = windows.get(window);
      if (works === undefined) windows.set(window, [workMs]);
      else works.push(workMs);
    }
    let missed = 0;
    for (const works of windows.values()) {
      let leftMs = workers * windowMs + lentMs + SLACK;
      for (const workMs of works.sort((a, b) => a - b)) {
        leftMs -= workMs;
        if (leftMs < 0) missed += 1;
      }
    }
    misses = Math.max(misses, missed);
  }
  return feasible.length - misses;
}
