import { describe, expect, test } from 'vitest';
import { exactCosts } from '../../../bench/src/optimum/exact-costs.ts';
import { instanceOf } from '../../../bench/src/optimum/known-run.ts';
import { listSchedule } from '../../../bench/src/optimum/list-schedule.ts';
import { randomInstance } from '../../../bench/src/optimum/random-instance.ts';
import { searchedSchedule } from '../../../bench/src/optimum/searched-schedule.ts';
import { fleetClass, profileRow, scenario, scenarioTask } from './simulation.ts';

const INSTANCES = 300;
const ROUNDING = 1e-9;

function reached(served: readonly { readonly requests: number; readonly usd: number }[]) {
  return {
    onTime: served.reduce((sum, { requests }) => sum + requests, 0),
    usd: served.reduce((sum, { usd }) => sum + usd, 0),
  };
}

/** Without devices of callers, which the search uses wherever they are in time. */
function atWorkersAlone(seed: number) {
  const instance = randomInstance(seed);
  return { ...instance, requests: instance.requests.map((request) => ({ ...request, privateWays: [] })) };
}

describe('the searched schedule', () => {
  test('never beats the optimum of a small instance, and mostly is it', () => {
    let equal = 0;
    for (let seed = 1; seed <= INSTANCES; seed += 1) {
      const instance = atWorkersAlone(seed);
      const costs = exactCosts(instance);
      const most = costs.findLastIndex((usd) => usd < Number.POSITIVE_INFINITY);
      const found = reached(searchedSchedule(instance));
      expect(found.onTime, `seed ${seed}`).toBeLessThanOrEqual(most);
      expect(found.usd, `seed ${seed}`).toBeGreaterThanOrEqual((costs[found.onTime] ?? 0) * (1 - ROUNDING));
      if (found.onTime === most && found.usd <= (costs[most] ?? 0) * (1 + ROUNDING)) equal += 1;
    }
    expect(equal / INSTANCES).toBeGreaterThan(0.9);
  });

  test('is the same for the same seed', () => {
    const instance = atWorkersAlone(7);
    expect(searchedSchedule(instance, { seed: 3 })).toEqual(searchedSchedule(instance, { seed: 3 }));
  });

  test('costs less than the list schedule where a cheap tier can take a part', () => {
    const world = scenario({
      tasks: [scenarioTask({ at: Array.from({ length: 200 }, (_, index) => index * 8), sloMs: 100 })],
      profiles: [
        profileRow({ p50Ms: 20, p90Ms: 22, p99Ms: 25 }),
        profileRow({ deviceClass: 'cuda', p50Ms: 2, p90Ms: 2.2, p99Ms: 2.5 }),
      ],
      fleet: [
        fleetClass({ usdPerHour: 0.01 }),
        fleetClass({ deviceClass: 'cuda', tier: 'pool', usdPerHour: 10 }),
      ],
    });
    const instance = instanceOf(world);
    const found = reached(searchedSchedule(instance));
    expect(found.onTime).toBe(200);
    expect(found.usd).toBeLessThan(reached(listSchedule(instance, 'eager')).usd);
  });

  test('of nothing is nothing', () => {
    expect(searchedSchedule({ requests: [], classes: [], provisionedUsd: 0 })).toEqual([]);
  });
});
