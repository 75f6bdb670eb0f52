import { describe, expect, test } from 'vitest';
import type { Point } from '../../../bench/src/placement/design.ts';
import { intervalOf } from '../../../bench/src/placement/interval.ts';
import { metricsOf, TARGETS } from '../../../bench/src/placement/metrics.ts';
import type { Figures, JobRecord, SizedFleet } from '../../../bench/src/placement/records.ts';
import { renderTables } from '../../../bench/src/placement/tables.ts';

const POINT: Point = {
  mix: 'base',
  trace: 'gamma-1',
  load: 1.2,
  browserShare: 0.3,
  egressUsdPerGb: 0,
  seconds: 10,
};

function figures(attainment: number, marginalUsd = 1, costUsd = 10): Figures {
  return {
    attainment,
    marginalUsd,
    costUsd,
    goodputPerSecond: attainment * 100,
    accuracy: 0.9,
    browserShare: 0,
  };
}

/** A point with 1,000 requests, where `infaas` has 80 % on time. */
function place(
  mesh: Figures,
  { seed = 1, over = {} }: { seed?: number; over?: Partial<Point> } = {},
): JobRecord[] {
  const point = { ...POINT, ...over };
  const policies = { mesh, informed: figures(0.99), infaas: figures(0.8), 'infaas-dropping': figures(0.9) };
  const curve = [
    { onTime: 500, marginalUsd: 0.5 },
    { onTime: 1_000, marginalUsd: 1 },
  ];
  return [
    { job: { kind: 'place', point, seed }, requests: 1_000, policies, boundUsd: 0.4 },
    { job: { kind: 'optimum', point, seed }, requests: 1_000, curve },
  ];
}

function sized(attainment: number, { sustained = 1, costUsd = 10 } = {}): SizedFleet {
  return { counts: { cuda: 1 }, figures: figures(attainment, 1, costUsd), sustained };
}

describe('metrics', () => {
  test('compare the mesh with the clairvoyant at what the mesh has on time, and with others on the same fleet', () => {
    const metrics = metricsOf(place(figures(0.95, 1.425)));
    expect(metrics.attainment_gap_points).toBeCloseTo(5);
    expect(metrics.attainment_gap_points_pass).toBe(0);
    expect(metrics.cost_over_clairvoyant).toBeCloseTo(1.425 / 0.95);
    expect(metrics.clairvoyant_over_bound).toBeCloseTo(0.95 / 0.4);
    expect(metrics.infaas_violations_over_mesh).toBeCloseTo(4);
    expect(metrics.infaas_violations_over_mesh_pass).toBe(1);
    expect(metrics.goodput_over_infaas_overload).toBeCloseTo(0.95 / 0.8);
    expect(metrics.goodput_over_infaas_overload_pass).toBe(0);
  });

  test('a clairvoyant is never worse than a policy that was run', () => {
    const cheap = metricsOf(place(figures(0.95, 0.6)));
    expect(cheap.cost_over_clairvoyant).toBe(1);
    const [run, optimum] = place(figures(0.95, 1));
    const poor = { ...optimum, curve: [{ onTime: 900, marginalUsd: 1 }] } as JobRecord;
    expect(metricsOf([run as JobRecord, poor]).attainment_clairvoyant).toBeCloseTo(0.99);
  });

  test('requests that nobody can serve in time are not held against anybody', () => {
    const metrics = metricsOf([
      ...place(figures(0.95)),
      ...place(figures(0.5), { over: { mix: 'all-pairs', trace: 'gamma-2' } }),
    ]);
    expect(metrics.infaas_violations_over_mesh).toBeCloseTo(4);
    expect(metrics.place_points).toBe(2);
  });

  test('are means over seeds with their intervals; seeds that were cut short are left out', () => {
    const whole = [1, 2].flatMap((seed) => [
      ...place(figures(seed === 1 ? 0.98 : 0.96), { seed }),
      ...place(figures(1), { seed, over: { load: 0.3 } }),
    ]);
    const metrics = metricsOf([...whole, ...place(figures(0), { seed: 3 })]);
    expect(metrics.place_seeds).toBe(2);
    expect(metrics.attainment_mesh).toBeCloseTo(0.985);
    expect(metrics.attainment_mesh_half_width_95).toBeCloseTo(12.706 * 0.005);
    expect(metrics.attainment_gap_points_worst).toBeCloseTo(3);
  });

  test('compare policies also where the optimum is not known yet', () => {
    const [run] = place(figures(0.95), { seed: 2 });
    const metrics = metricsOf([...place(figures(0.9)), run as JobRecord]);
    expect(metrics).toMatchObject({ place_seeds: 2, judged_seeds: 1, fleet_seeds: 0 });
    expect(metrics.infaas_violations_over_mesh).toBeCloseTo((2 + 4) / 2);
    expect(metrics.attainment_gap_points).toBeCloseTo(10);
  });

  test('compare static fleets at equal cost, and what they cost for each answer in time', () => {
    const metrics = metricsOf([
      {
        job: { kind: 'fleet', point: POINT, seed: 1 },
        requests: 1_000,
        mesh: { counts: { cpu: 1 }, figures: figures(1, 1, 2) },
        baselines: {
          clipper: { baseline: sized(0.99, { sustained: 1 }), mesh: sized(0.995, { sustained: 2 }) },
          'always-pool': { baseline: sized(1, { costUsd: 20 }), mesh: sized(1) },
        },
      },
    ]);
    expect(metrics.clipper_violations_over_mesh).toBeCloseTo(2);
    expect(metrics.goodput_over_clipper_equal_cost).toBe(2);
    expect(metrics.goodput_over_clipper_equal_cost_pass).toBe(1);
    expect(metrics.always_pool_cost_over_mesh).toBeCloseTo(10);
    expect(metrics.always_pool_cost_over_mesh_best).toBeCloseTo(10);
    expect(metrics.always_pool_marginal_cost_over_mesh).toBeCloseTo(1);
    expect(metrics).not.toHaveProperty('tfserving_violations_over_mesh');
  });

  test('of nothing are no figures, and the tables say that nothing was run', () => {
    for (const value of Object.values(metricsOf([]))) expect(value).toBe(0);
    for (const { words } of TARGETS) expect(renderTables([])).toContain(`| ${words} |`);
    expect(renderTables([])).toContain('not run');
  });
});

describe('an interval', () => {
  test('is the t-interval of the values', () => {
    const { mean, halfWidth } = intervalOf([1, 2, 3, 4, 5]);
    expect(mean).toBe(3);
    // t(4, 97.5 %) × √2.5 / √5
    expect(halfWidth).toBeCloseTo(2.776 * Math.sqrt(0.5), 3);
  });

  test('of one value is without end', () => {
    expect(intervalOf([7])).toEqual({ mean: 7, halfWidth: Number.POSITIVE_INFINITY });
  });
});
