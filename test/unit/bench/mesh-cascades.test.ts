import { describe, expect, test } from 'vitest';
import { cascadeScenario, kindsOf } from '../../../bench/src/benches/cascades.ts';
import { tallyByCaller } from '../../../bench/src/cascades/by-caller.ts';
import { boundOf, instanceOf } from '../../../bench/src/optimum/index.ts';
import { mesh } from '../../../bench/src/policies/mesh.ts';
import type { Scenario, ScenarioCascade } from '../../../bench/src/scenario/scenario.ts';
import type { Policy, SimulatedOutcome, SimulatedStage } from '../../../bench/src/simulator/policy.ts';
import { simulate } from '../../../bench/src/simulator/simulate.ts';
import { profileRow, scenario, scenarioTask } from './simulation.ts';

const PAIR: ScenarioCascade = {
  variant: 'pair',
  small: 'small',
  large: 'large',
  accuracy: 0.94,
  escalationRate: 1,
};
const PROFILES = [
  profileRow({ accuracy: 0.9 }),
  profileRow({ variant: 'large', p50Ms: 30, accuracy: 0.95 }),
  profileRow({ deviceClass: 'page', p50Ms: 8, loadMs: 0, weightBytes: 0 }),
];

function given(cascade: ScenarioCascade, over: Partial<Scenario> = {}): Scenario {
  const { at = [0], ...rest } = over as { at?: number[] };
  return scenario({
    profiles: PROFILES,
    tasks: [scenarioTask({ at, minAccuracy: 0.93, cascades: [cascade] })],
    network: { rtts: [{ rttMs: 20, share: 1 }], bytesPerMs: Number.POSITIVE_INFINITY },
    requestUsdPerMillion: 5,
    ...rest,
  });
}

/** Runs the small stage in the page or on the first worker, and the large one on that worker. */
function cascading(
  cascade: ScenarioCascade,
  place: 'page' | 'mesh',
  over: Partial<Policy> = {},
): { policy: Policy; outcomes: SimulatedOutcome[]; stages: SimulatedStage[] } {
  const outcomes: SimulatedOutcome[] = [];
  const stages: SimulatedStage[] = [];
  const policy: Policy = {
    name: 'cascading',
    start: (world) => {
      for (const worker of world.workers) {
        for (const variant of ['small', 'large']) world.load(worker, 'digits', variant);
      }
    },
    arrive: (request, world) => {
      const [worker] = world.workers;
      if (place === 'page') world.runInBrowser(request, 'small', cascade);
      else if (worker !== undefined) world.dispatch(request, worker, 'small', cascade);
    },
    escalated: (request, stage, world) => {
      stages.push(stage);
      const [worker] = world.workers;
      if (worker !== undefined) world.dispatch(request, worker, 'large');
    },
    finished: (_, outcome) => {
      outcomes.push(outcome);
    },
    ...over,
  };
  return { policy, outcomes, stages };
}

const PAGES = {
  deviceClasses: [{ deviceClass: 'page', share: 1 }],
  requestsPerCaller: 1e9,
  energyUsdPerHour: 0,
  cachedShare: 1,
  callersAtOnce: 1,
};

describe('a cascade in the simulator', () => {
  test('that runs on a worker goes on there, without another way and another request', () => {
    const world = given(PAIR);
    const { policy, outcomes, stages } = cascading(PAIR, 'mesh');
    const result = simulate(world, policy);
    expect(stages).toMatchObject([{ variant: 'small', elapsedMs: 20, serviceMs: 10 }]);
    expect(outcomes).toMatchObject([{ kind: 'answered', variant: 'pair', latencyMs: 60, isOnTime: true }]);
    expect(result).toMatchObject({ effective_accuracy: 0.94, cost_parts_usd: { requests: 5e-6 } });
    expect(result.cost_parts_usd.busy).toBeCloseTo(40e-6, 12);
  });

  test('that begins in the page sends what the small stage was not sure of', () => {
    const { policy, outcomes, stages } = cascading(PAIR, 'page');
    const result = simulate(given(PAIR, { browsers: PAGES }), policy);
    expect(stages).toMatchObject([{ worker: undefined, elapsedMs: 8 }]);
    expect(outcomes).toMatchObject([{ tier: 'edge', latencyMs: 8 + 10 + 30 + 10 }]);
    expect(result.cost_parts_usd.requests).toBeCloseTo(5e-6, 12);
  });

  test('ends with its small stage where that is sure, at the accuracy of the pair', () => {
    const sure = { ...PAIR, escalationRate: 0 };
    const { policy, outcomes } = cascading(sure, 'mesh');
    const result = simulate(given(sure), policy);
    expect(outcomes).toMatchObject([{ latencyMs: 30, variant: 'pair' }]);
    expect(result.effective_accuracy).toBe(0.94);
  });

  test('goes on for the share that the scenario says, the same requests each time', () => {
    const third = { ...PAIR, escalationRate: 0.3 };
    const at = Array.from({ length: 4_000 }, (_, index) => index * 50);
    const world = given(third, { at, durationMs: 200_000 } as Partial<Scenario>);
    const runs = [1, 2].map(() => {
      const run = cascading(third, 'mesh');
      simulate(world, run.policy);
      return run.outcomes.map(({ latencyMs }) => latencyMs);
    });
    expect(runs[0]).toEqual(runs[1]);
    const share = runs[0]?.filter((latencyMs) => latencyMs > 30).length ?? 0;
    expect(share / 4_000).toBeGreaterThan(0.27);
    expect(share / 4_000).toBeLessThan(0.33);
  });

  test('refuses what a mesh could not do', () => {
    const toAnother = cascading(PAIR, 'mesh', {
      escalated: (request, _, world) => {
        const [worker] = world.workers;
        if (worker !== undefined) world.dispatch(request, worker, 'small');
      },
    });
    expect(() => simulate(given(PAIR), toAnother.policy)).toThrow('goes on to large, not to small');
    const backToPage = cascading(PAIR, 'mesh', {
      escalated: (request, _, world) => world.runInBrowser(request, 'large'),
    });
    expect(() => simulate(given(PAIR, { browsers: PAGES }), backToPage.policy)).toThrow('cannot ask');
    const { policy } = cascading({ ...PAIR }, 'mesh');
    expect(() => simulate(given(PAIR), policy)).toThrow('no small stage of a cascade of digits');
  });
});

describe('the mesh with cascades', () => {
  const at = Array.from({ length: 400 }, (_, index) => index * 50);
  const fifth = { ...PAIR, escalationRate: 0.2 };
  const over = { at, durationMs: 20_000, requestUsdPerMillion: 0 } as Partial<Scenario>;

  test('pays for the large stage only where it is needed, and never less accurate than asked for', () => {
    const world = given(fifth, over);
    const result = simulate(world, mesh(world));
    const without = simulate(world, mesh(world, { hasCascades: false }));
    expect(result).toMatchObject({ attainment: 1, effective_accuracy: expect.closeTo(0.94, 6) });
    expect(without).toMatchObject({ attainment: 1, effective_accuracy: expect.closeTo(0.95, 6) });
    // 10 + 0.2 × 30 ms instead of 30.
    expect(result.marginal_cost_usd / without.marginal_cost_usd).toBeLessThan(0.6);
    expect(result.marginal_cost_usd / without.marginal_cost_usd).toBeGreaterThan(0.45);
  });

  test('lets a page that holds the small stage alone begin, and answers the rest', () => {
    const world = given(fifth, { ...over, browsers: PAGES } as Partial<Scenario>);
    const result = simulate(world, mesh(world));
    expect(result.attainment).toBe(1);
    expect(result.tier_shares.browser).toBeGreaterThan(0.7);
    expect(result.tier_shares.browser).toBeLessThan(0.9);
    expect(result.effective_accuracy).toBeCloseTo(0.94, 6);
  });

  test('takes no cascade that is not accurate enough', () => {
    const world = given({ ...fifth, accuracy: 0.92 }, over);
    expect(simulate(world, mesh(world)).effective_accuracy).toBeCloseTo(0.95, 6);
  });

  test('costs no less than the bound, which knows who goes on', () => {
    const world = given(fifth, over);
    const result = simulate(world, mesh(world));
    const onTime = Math.round(result.attainment * result.requests);
    const bound = boundOf(instanceOf(world), onTime);
    expect(bound.marginalCostUsd).toBeLessThanOrEqual(result.marginal_cost_usd * (1 + 1e-9));
    // 0.8 × 10 + 0.2 × 30 ms, less batching; with the large variant alone it would be 30.
    expect(bound.marginalCostUsd).toBeLessThan(400 * 20e-6);
  });

  test('counts every cost once, by what callers can hold', async () => {
    const world = await cascadeScenario('assumed', 3);
    const short = {
      ...world,
      tasks: world.tasks.map((task) => ({ ...task, arrivals: task.arrivals.slice(0, 3_000) })),
    };
    const { tallies, ...listeners } = tallyByCaller(short, kindsOf(short));
    const result = simulate(short, mesh(short), listeners);
    expect([...tallies.keys()].toSorted()).toEqual(['holds_large', 'holds_nothing', 'holds_small']);
    const sum = [...tallies.values()].reduce((total, { marginalUsd }) => total + marginalUsd, 0);
    expect(sum / result.marginal_cost_usd).toBeCloseTo(1, 6);
    const requests = [...tallies.values()].reduce((total, tally) => total + tally.requests, 0);
    expect(requests).toBe(result.requests);
  });
});
