import { describe, expect, test } from 'vitest';
import { bound } from '../../../bench/src/optimum/bound.ts';
import { clairvoyant } from '../../../bench/src/optimum/clairvoyant.ts';
import { bruteForce } from '../../../bench/src/optimum/every-schedule.ts';
import { batchMs, instanceOf } from '../../../bench/src/optimum/known-run.ts';
import { listSchedule } from '../../../bench/src/optimum/list-schedule.ts';
import { randomInstance } from '../../../bench/src/optimum/random-instance.ts';
import { BatchShares } from '../../../bench/src/optimum/share.ts';
import { alwaysEdge } from '../../../bench/src/policies/always.ts';
import { greedyCost } from '../../../bench/src/policies/greedy.ts';
import { simulate } from '../../../bench/src/simulator/simulate.ts';
import { fleetClass, profileRow, scenario, scenarioTask } from './simulation.ts';

const INSTANCES = 500;
const ROUNDING = 1e-6;

describe('the optimum of small instances', () => {
  test('is what trying everything finds, at every number on time, and the bound never exceeds it', () => {
    for (let seed = 1; seed <= INSTANCES; seed += 1) {
      const instance = randomInstance(seed);
      const costs = bruteForce(instance);
      const most = costs.findLastIndex((usd) => usd < Number.POSITIVE_INFINITY);
      const best = clairvoyant(instance);
      expect(best.onTime, `seed ${seed}`).toBe(most);
      expect(best.marginalUsd, `seed ${seed}`).toBeCloseTo(costs[most] ?? 0, 6);
      expect(bound(instance).mostOnTime, `seed ${seed}`).toBeGreaterThanOrEqual(most);
      for (let onTime = 0; onTime <= most; onTime += 1) {
        const least = Math.min(...costs.slice(onTime));
        const reached = clairvoyant(instance, { atLeastOnTime: onTime });
        expect(reached.marginalUsd, `seed ${seed}, ${onTime} on time`).toBeCloseTo(least, 6);
        const { marginalUsd } = bound(instance, onTime);
        expect(marginalUsd, `seed ${seed}, ${onTime} on time`).toBeLessThanOrEqual(least + ROUNDING);
      }
    }
  }, 60_000);

  test('is never beaten by the list schedule that serves large instances', () => {
    for (let seed = 1; seed <= INSTANCES; seed += 1) {
      const instance = randomInstance(seed);
      for (const patience of ['patient', 'eager', 'sparing'] as const) {
        const served = listSchedule(instance, patience);
        const onTime = served.reduce((sum, { requests }) => sum + requests, 0);
        const usd = served.reduce((sum, entry) => sum + entry.usd, 0);
        const best = clairvoyant(instance, { atLeastOnTime: onTime });
        expect(best.onTime, `seed ${seed}`).toBeGreaterThanOrEqual(onTime);
        expect(usd, `seed ${seed}`).toBeGreaterThanOrEqual(best.marginalUsd - ROUNDING);
      }
    }
  });

  test('parts of the members of a batch never exceed its time', () => {
    for (let seed = 1; seed <= INSTANCES; seed += 1) {
      const { requests, classes } = randomInstance(seed);
      const members = requests.slice(0, 4);
      for (const profile of classes.flatMap(({ profiles }) => profiles)) {
        const shares = new BatchShares(profile, members.length);
        for (const stretch of [1, 4]) {
          const stretched = members.map((member) => ({ ...member, score: member.score * stretch }));
          const parts = stretched.reduce((sum, { score }) => sum + shares.ofMember(score), 0);
          expect(parts).toBeLessThanOrEqual(batchMs(profile, stretched) + ROUNDING);
        }
      }
    }
  });
});

test('the bound is below the clairvoyant and below every policy at the number on time that it reached', () => {
  for (let seed = 1; seed <= 5; seed += 1) {
    const at = Array.from({ length: 300 }, (_, index) => index * (1 + seed));
    const world = scenario({
      seed,
      tasks: [scenarioTask({ at, sloMs: 60 })],
      profiles: [
        profileRow({ p90Ms: 13, p99Ms: 17 }),
        profileRow({ batch: 8, p50Ms: 30, p90Ms: 36, p99Ms: 44 }),
      ],
    });
    const instance = instanceOf(world);
    for (const policy of [alwaysEdge(world), greedyCost()]) {
      const result = simulate(world, policy);
      const onTime = Math.round(result.attainment * result.requests);
      // Found by itself: with the policy's own schedule among those that it knows it could not be worse.
      const best = clairvoyant(instance, { atLeastOnTime: onTime });
      expect(best.onTime).toBeGreaterThanOrEqual(onTime);
      expect(best.marginalUsd).toBeLessThanOrEqual(result.marginal_cost_usd * (1 + ROUNDING));
      const least = bound(instance, onTime);
      expect(least.mostOnTime).toBeGreaterThanOrEqual(onTime);
      expect(least.marginalUsd).toBeLessThanOrEqual(best.marginalUsd + ROUNDING * best.marginalUsd);
    }
  }
});

test('the bound sees an overload: of twice what two workers can do no more than a little over half is on time', () => {
  const world = scenario({
    durationMs: 20_000,
    tasks: [scenarioTask({ at: Array.from({ length: 4_000 }, (_, index) => index * 5), sloMs: 60 })],
    profiles: [profileRow({ p50Ms: 20 })],
    fleet: [fleetClass({ count: 2 })],
  });
  const instance = instanceOf(world);
  const { mostOnTime } = bound(instance);
  // Windows of 3,840 ms: 384 fit into each of five, the 160 that come after them all, and the 12 across each of five edges.
  expect(mostOnTime).toBeLessThanOrEqual(5 * 384 + 160 + 5 * 12);
  expect(mostOnTime).toBeGreaterThanOrEqual(clairvoyant(instance).onTime);
});
