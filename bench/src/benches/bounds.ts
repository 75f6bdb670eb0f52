import type { Bench } from '../bench.ts';
import { bound } from '../optimum/bound.ts';
import { clairvoyant } from '../optimum/clairvoyant.ts';
import { bruteForce } from '../optimum/every-schedule.ts';
import { randomInstance } from '../optimum/random-instance.ts';

const INSTANCES = 500;

/** How far the proven bound lies below the exact optimum of small random instances. */
export const bounds: Bench = {
  name: 'bounds',
  description: 'The gap between the bound and the optimum on 500 small random instances',
  run({ seed }) {
    let gaps = 0;
    let priced = 0;
    let widest = 0;
    let missed = 0;
    let exceeded = 0;
    let equal = 0;
    for (let index = 0; index < INSTANCES; index += 1) {
      const instance = randomInstance(seed + index);
      const best = clairvoyant(instance);
      const costs = bruteForce(instance);
      const most = costs.findLastIndex((usd) => usd < Number.POSITIVE_INFINITY);
      const leastUsd = costs[most] ?? 0;
      if (best.onTime === most && Math.abs(best.marginalUsd - leastUsd) <= 1e-9 * leastUsd) equal += 1;
      const { mostOnTime } = bound(instance);
      const { marginalUsd } = bound(instance, best.onTime);
      missed += mostOnTime - best.onTime;
      if (marginalUsd > best.marginalUsd * (1 + 1e-9) || mostOnTime < best.onTime) exceeded += 1;
      if (best.marginalUsd === 0) continue;
      const gap = 1 - marginalUsd / best.marginalUsd;
      gaps += gap;
      widest = Math.max(widest, gap);
      priced += 1;
    }
    return Promise.resolve({
      instances: INSTANCES,
      clairvoyant_equals_brute_force: equal,
      bound_exceeds_optimum: exceeded,
      mean_cost_gap: gaps / Math.max(1, priced),
      max_cost_gap: widest,
      mean_on_time_gap_requests: missed / INSTANCES,
    });
  },
};
