import { formBatch, type Waiting } from '@nearfar/core';
import { expect, test } from 'vitest';
import { mesh } from '../../../bench/src/policies/mesh.ts';
import { ProfileTable } from '../../../bench/src/profile-table.ts';
import { committedScenario } from '../../../bench/src/scenario/committed-scenario.ts';
import { gammaArrivals } from '../../../bench/src/scenario/gamma-arrivals.ts';
import { readScenario } from '../../../bench/src/scenario/read-scenario.ts';
import { withSlos } from '../../../bench/src/scenario/request-slos.ts';
import type { Scenario, ScenarioTask } from '../../../bench/src/scenario/scenario.ts';
import { BatchRules } from '../../../bench/src/simulator/batch-rules.ts';
import type { SimulatedRequest } from '../../../bench/src/simulator/policy.ts';
import { simulate } from '../../../bench/src/simulator/simulate.ts';

const SECONDS = 6;
const ALL_100_MS = [{ sloMs: 100, share: 1 }];
const HALF_75_HALF_300_MS = [
  { sloMs: 75, share: 0.5 },
  { sloMs: 300, share: 0.5 },
];

/** The sample's fleet without browsers, under bursts. */
async function bursts(perSecond: number, slos: ScenarioTask['slos']): Promise<Scenario> {
  const sample = await readScenario(committedScenario('sample'));
  const arrivals = gammaArrivals({ perSecond, seconds: SECONDS, squaredVariation: 2 }, 1);
  return {
    ...sample,
    durationMs: SECONDS * 1_000,
    tasks: sample.tasks.map((task) => ({ ...task, arrivals: withSlos(arrivals, slos, 1) })),
    browsers: { ...sample.browsers, deviceClasses: [] },
  };
}

/** On-time answers a second, with or without heads that give way to full batches. */
function goodput(given: Scenario, passesOver: boolean): number {
  const rules = new BatchRules(new ProfileTable(given.profiles));
  const policy = mesh(given);
  policy.formBatch = ({ queue, deviceClass }, { nowMs }) =>
    formBatch(queue as readonly (SimulatedRequest & Waiting)[], nowMs, {
      ...rules.of(deviceClass),
      passesOver,
    });
  return simulate(given, policy).goodput_rps;
}

// The table of docs/placement.md, "Batches", is of these bursts.
test.each([
  [4_000, ALL_100_MS, 4],
  [3_200, HALF_75_HALF_300_MS, 1.2],
])(
  '%d requests a second of %j: heads that give way make the goodput at least %d times as high',
  async (perSecond, slos, times) => {
    const given = await bursts(perSecond, slos);
    expect(goodput(given, true)).toBeGreaterThan(times * goodput(given, false));
  },
);

test('below capacity they change nothing', async () => {
  const given = await bursts(2_000, ALL_100_MS);
  expect(goodput(given, true)).toBe(goodput(given, false));
});
