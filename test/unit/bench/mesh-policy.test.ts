import { describe, expect, test } from 'vitest';
import { type MeshOptions, mesh } from '../../../bench/src/policies/mesh.ts';
import type { Scenario } from '../../../bench/src/scenario/scenario.ts';
import type { SimulatedOutcome } from '../../../bench/src/simulator/policy.ts';
import { simulate } from '../../../bench/src/simulator/simulate.ts';
import { fleetClass, profileRow, scenario, scenarioTask } from './simulation.ts';

/** Two tiers: the edge is slow and cheap, the pool fast and dear. */
const PROFILES = [
  profileRow({ p50Ms: 20, p90Ms: 22, p99Ms: 25 }),
  profileRow({ deviceClass: 'cuda', p50Ms: 2, p90Ms: 2.2, p99Ms: 2.5 }),
  profileRow({ deviceClass: 'page', p50Ms: 8, p90Ms: 9, p99Ms: 10, loadMs: 100, weightBytes: 1_000 }),
];
const FLEET = [
  fleetClass({ usdPerHour: 0.01 }),
  fleetClass({ deviceClass: 'cuda', tier: 'pool', usdPerHour: 10 }),
];

function every(ms: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => index * ms);
}

function run(over: Partial<Scenario>, options: MeshOptions = {}) {
  const given = scenario({ profiles: PROFILES, fleet: FLEET, ...over });
  const outcomes: SimulatedOutcome[] = [];
  const result = simulate(given, mesh(given, options), {
    onEnded: ({ index }, outcome) => {
      outcomes[index] = outcome;
    },
  });
  return { result, outcomes };
}

describe('the mesh', () => {
  test('takes the cheap tier while that is on time', () => {
    const { result } = run({ tasks: [scenarioTask({ at: every(40, 50) })] });
    expect(result).toMatchObject({ attainment: 1, tier_shares: { edge: 1 } });
  });

  test('takes the fast tier where the cheap one would be late', () => {
    const { result } = run({ tasks: [scenarioTask({ at: every(40, 50), sloMs: 15 })] });
    expect(result).toMatchObject({ attainment: 1, tier_shares: { pool: 1 } });
  });

  test('spills what the cheap tier cannot take', () => {
    const { result } = run({ tasks: [scenarioTask({ at: every(5, 400) })] });
    expect(result.attainment).toBeGreaterThan(0.98);
    expect(result.tier_shares.edge).toBeGreaterThan(0.15);
    expect(result.tier_shares.pool).toBeGreaterThan(0.5);
  });

  test('never answers below the accuracy that is asked for', () => {
    const profiles = [...PROFILES, profileRow({ variant: 'tiny', p50Ms: 0.1, accuracy: 0.5 })];
    const { outcomes } = run({ profiles, tasks: [scenarioTask({ at: every(5, 100), minAccuracy: 0.8 })] });
    expect(outcomes.every(({ variant }) => variant === 'small')).toBe(true);
  });

  test('never makes a request wait for a download, and lets the page answer once it can', () => {
    const browsers = {
      ...scenario().browsers,
      deviceClasses: [{ deviceClass: 'page', share: 1 }],
      callersAtOnce: 1,
      requestsPerCaller: 1e9,
    };
    const { result, outcomes } = run({ browsers, tasks: [scenarioTask({ at: every(60, 20) })] });
    expect(outcomes.map(({ tier }) => tier)).toEqual(['edge', 'edge', ...Array(18).fill('browser')]);
    expect(result.downloads).toBe(1);
    expect(Math.max(...outcomes.map(({ latencyMs }) => latencyMs))).toBeLessThan(40);
  });

  test('does not fetch what would cost more than the mesh', () => {
    const browsers = { ...scenario().browsers, deviceClasses: [{ deviceClass: 'page', share: 1 }] };
    const { result } = run({ browsers, egressUsdPerGb: 100, tasks: [scenarioTask({ at: every(60, 20) })] });
    expect(result).toMatchObject({ downloads: 0, tier_shares: { edge: 1 } });
  });

  test('answers far callers where there is time left for their round trip, unless it does not look', () => {
    const given = {
      network: { rtts: [{ rttMs: 80, share: 1 }], bytesPerMs: Number.POSITIVE_INFINITY },
      tasks: [scenarioTask({ at: every(50, 200) })],
    };
    expect(run(given).result).toMatchObject({ attainment: 1, tier_shares: { pool: 1 } });
    const blind = run(given, { seesNetwork: false, isCalibrated: false });
    expect(blind.result.attainment).toBeLessThan(0.6);
  });

  test('learns from what came of its placements that a prediction is wrong', () => {
    // Nothing is predicted of the network, of which calibration sees the effect.
    const given = {
      network: { rtts: [{ rttMs: 80, share: 1 }], bytesPerMs: Number.POSITIVE_INFINITY },
      tasks: [scenarioTask({ at: every(50, 2_000) })],
      durationMs: 100_000,
    };
    const { outcomes } = run(given, { seesNetwork: false });
    const late = outcomes.slice(1_000).filter(({ isOnTime }) => !isOnTime);
    expect(late.length / 1_000).toBeLessThan(0.05);
  });
});
