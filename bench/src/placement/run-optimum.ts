import { candidateSchedules } from '../optimum/clairvoyant.ts';
import { instanceOf } from '../optimum/index.ts';
import { reachedBy, trimmed } from '../optimum/schedule.ts';
import type { OptimumJob } from './design.ts';
import { pointScenario } from './point-scenario.ts';
import type { OptimumRecord } from './records.ts';

/** Where the curve has points, as shares of the most that are on time: closer where policies are. */
const LEVELS = [
  0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.88, 0.91, 0.94, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995, 0.998, 1,
];

/** Searches schedules for a point, and keeps of the best of them what so many on time cost. */
export async function runOptimum(
  job: OptimumJob,
  options: { readonly perSecond: number; readonly dataFolder: string | undefined },
): Promise<OptimumRecord> {
  const instance = instanceOf(await pointScenario(job.point, { ...options, seed: job.seed }));
  const candidates = candidateSchedules(instance);
  const most = Math.max(...candidates.map((served) => reachedBy(served).onTime));
  const curve = LEVELS.map((level) => {
    const asked = Math.ceil(level * most);
    return candidates
      .map((served) => reachedBy(trimmed(served, asked)))
      .filter(({ onTime }) => onTime >= asked)
      .reduce((best, reached) => (reached.marginalUsd < best.marginalUsd ? reached : best));
  });
  return { job, requests: instance.requests.length, curve };
}

/**
 * What so many on time cost: on the line between the two neighbours on the curve, which lies a little above what the schedules
 * themselves could be cut down to. Infinite beyond the most; of fewer than the first, what the first costs.
 */
export function costAt(curve: OptimumRecord['curve'], onTime: number): number {
  let before: OptimumRecord['curve'][number] | undefined;
  for (const point of curve) {
    if (point.onTime >= onTime) {
      if (before === undefined || point.onTime === before.onTime) return point.marginalUsd;
      const share = (onTime - before.onTime) / (point.onTime - before.onTime);
      return before.marginalUsd + share * (point.marginalUsd - before.marginalUsd);
    }
    before = point;
  }
  return Number.POSITIVE_INFINITY;
}
