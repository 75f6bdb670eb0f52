import { describe, expect, test } from 'vitest';
import { ABLATIONS } from '../../../bench/src/benches/ablations.ts';
import { type MeshOptions, mesh } from '../../../bench/src/policies/mesh.ts';
import { gammaArrivals } from '../../../bench/src/scenario/gamma-arrivals.ts';
import type { Scenario } from '../../../bench/src/scenario/scenario.ts';
import { simulate } from '../../../bench/src/simulator/simulate.ts';
import { fleetClass, profileRow, scenario, scenarioTask } from './simulation.ts';

const SECONDS = 60;

function arrivals(perSecond: number, seed: number) {
  return gammaArrivals({ perSecond, seconds: SECONDS, squaredVariation: 1 }, seed);
}

/** One task runs on two edge workers alone, the other also in the pool, at twice the cost. */
function shared(edgePerSecond: number, anyPerSecond: number): Scenario {
  return scenario({
    durationMs: SECONDS * 1_000,
    profiles: [
      profileRow({ task: 'edge-only', p50Ms: 8, p90Ms: 10, p99Ms: 14 }),
      profileRow({ task: 'any', p50Ms: 14, p90Ms: 17, p99Ms: 24 }),
      profileRow({ task: 'any', deviceClass: 'cuda', p50Ms: 2.5, p90Ms: 3, p99Ms: 4.5 }),
    ],
    tasks: [
      { ...scenarioTask({ task: 'edge-only', sloMs: 60 }), arrivals: arrivals(edgePerSecond, 1) },
      { ...scenarioTask({ task: 'any', sloMs: 150 }), arrivals: arrivals(anyPerSecond, 2) },
    ],
    fleet: [
      fleetClass({ usdPerHour: 0.072, count: 2, min: 2, max: 2 }),
      fleetClass({ deviceClass: 'cuda', tier: 'pool', usdPerHour: 0.8 }),
    ],
  });
}

describe('prices in the simulated mesh', () => {
  test('keep scarce capacity for who has no other place', () => {
    const world = shared(215, 150);
    const priced = simulate(world, mesh(world));
    const without = simulate(world, mesh(world, { hasPrices: false }));
    expect(priced.violation_ratio).toBeLessThan(without.violation_ratio / 1.5);
    expect(without.violation_ratio).toBeGreaterThan(0.001);
  });

  test('change nothing where nothing is scarce', () => {
    const world = shared(40, 20);
    const priced = simulate(world, mesh(world));
    const without = simulate(world, mesh(world, { hasPrices: false }));
    expect(priced).toEqual(without);
  });
});

describe('leases in the simulated mesh', () => {
  const given = scenario({
    profiles: [profileRow(), profileRow({ deviceClass: 'page', p50Ms: 8, loadMs: 0, weightBytes: 0 })],
    tasks: [scenarioTask({ at: [0, 200, 400] })],
    network: { rtts: [{ rttMs: 30, share: 1 }], bytesPerMs: Number.POSITIVE_INFINITY },
    browsers: {
      deviceClasses: [{ deviceClass: 'page', share: 1 }],
      requestsPerCaller: 1e9,
      energyUsdPerHour: 0,
      cachedShare: 1,
      callersAtOnce: 1,
    },
  });

  function latencies(options: MeshOptions): number[] {
    const seen: number[] = [];
    simulate(given, mesh(given, options), { onEnded: (_, { latencyMs }) => seen.push(latencyMs) });
    return seen;
  }

  test('spare a page the question: without, each of its runs waits for the mesh’s answer', () => {
    // The first request finds nothing in the page, and goes to the mesh in either case.
    expect(latencies({})).toEqual([40, 8, 8]);
    expect(latencies({ hasLeases: false })).toEqual([40, 38, 38]);
  });
});

describe('the mesh with wrong profiles', () => {
  test('learns better by calibration', () => {
    const world = shared(100, 60);
    const believed = { believedTimes: { cpu: 0.3 } };
    const calibrated = simulate(world, mesh(world, believed));
    const not = simulate(world, mesh(world, { ...believed, isCalibrated: false }));
    expect(calibrated.violation_ratio).toBeLessThan(not.violation_ratio / 2);
  });
});

test('every ablation leaves something out, and only the full mesh nothing', () => {
  for (const [name, options] of ABLATIONS) {
    expect(Object.keys(options).length > 0, name).toBe(name !== 'full');
  }
  expect(ABLATIONS.size).toBeGreaterThan(10);
});
