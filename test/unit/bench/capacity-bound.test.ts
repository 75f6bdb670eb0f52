import { describe, expect, test } from 'vitest';
import { capacityBound } from '../../../bench/src/optimum/capacity-bound.ts';
import { exactCosts } from '../../../bench/src/optimum/exact-costs.ts';
import { instanceOf } from '../../../bench/src/optimum/known-run.ts';
import { randomInstance } from '../../../bench/src/optimum/random-instance.ts';
import { greedyCost } from '../../../bench/src/policies/greedy.ts';
import { simulate } from '../../../bench/src/simulator/simulate.ts';
import { fleetClass, profileRow, scenario, scenarioTask } from './simulation.ts';

const INSTANCES = 500;
const ROUNDING = 1e-9;

/** Two tiers: the edge is slow and cheap, the pool fast and dear. */
function twoTiers(seed: number, everyMs: number) {
  return scenario({
    seed,
    tasks: [scenarioTask({ at: Array.from({ length: 600 }, (_, index) => index * everyMs), sloMs: 100 })],
    profiles: [
      profileRow({ p50Ms: 20, p90Ms: 22, p99Ms: 25 }),
      profileRow({ deviceClass: 'cuda', p50Ms: 2, p90Ms: 2.2, p99Ms: 2.5 }),
    ],
    fleet: [
      fleetClass({ usdPerHour: 0.01 }),
      fleetClass({ deviceClass: 'cuda', tier: 'pool', usdPerHour: 10 }),
    ],
  });
}

function evenly(instance: ReturnType<typeof instanceOf>): number[] {
  return instance.requests.map(() => 1);
}

describe('the bound with capacity', () => {
  test('never exceeds the optimum of a small instance, at any number on time', () => {
    for (let seed = 1; seed <= INSTANCES; seed += 1) {
      const instance = randomInstance(seed);
      const costs = exactCosts(instance);
      for (let onTime = 0; onTime < costs.length; onTime += 1) {
        const least = Math.min(...costs.slice(onTime));
        const found = capacityBound(instance, onTime, evenly(instance));
        expect(found, `seed ${seed}, ${onTime} on time`).toBeLessThanOrEqual(least * (1 + ROUNDING));
      }
    }
  });

  test('never exceeds what a policy pays for as many on time', () => {
    for (let seed = 1; seed <= 5; seed += 1) {
      const world = twoTiers(seed, 4);
      const result = simulate(world, greedyCost());
      const onTime = Math.round(result.attainment * result.requests);
      const instance = instanceOf(world);
      const found = capacityBound(instance, onTime, evenly(instance));
      expect(found).toBeLessThanOrEqual(result.marginal_cost_usd * (1 + ROUNDING));
    }
  });

  test('knows that the cheap tier cannot serve all of a rush', () => {
    const rush = instanceOf(twoTiers(1, 4));
    const calm = instanceOf(twoTiers(1, 40));
    // Of 250 requests a second the edge can take 50: the pool's part costs far more than the edge's whole.
    expect(capacityBound(rush, 600, evenly(rush))).toBeGreaterThan(
      10 * capacityBound(calm, 600, evenly(calm)),
    );
    expect(capacityBound(rush, 600, evenly(rush))).toBeGreaterThan(0.8 * poolPart());
  });

  test('is infinite where fewer have any way to be on time', () => {
    const late = scenario({ tasks: [scenarioTask({ at: [0, 10], sloMs: 1 })], profiles: [profileRow({})] });
    const instance = instanceOf(late);
    expect(capacityBound(instance, 1, evenly(instance))).toBe(Number.POSITIVE_INFINITY);
    expect(capacityBound(instance, 0, evenly(instance))).toBe(0);
  });

  test('is 0 of nothing', () => {
    expect(capacityBound({ requests: [], classes: [], provisionedUsd: 0 }, 0, [])).toBe(0);
  });
});

/** What the pool asks for the 480 requests that the edge cannot take, 2 ms each. */
function poolPart(): number {
  return (480 * 2 * 10) / 3_600_000;
}
