import { createHighsSolver } from '@nearfar/coordinator/highs';
import { greedyPlan, type Plan, type PlanInput, planGap, type Solver, solvePlan } from '@nearfar/core';
import { afterAll, describe, expect, test } from 'vitest';
import { planInstance } from '../../../../bench/src/plan-instance.ts';
import { findRoutes } from '../../../../core/src/plan/routes.ts';
import { demand, planInput, variant, workers } from './builders.ts';
import { bruteForce, checkPlan } from './check-plan.ts';

const solver = createHighsSolver();
afterAll(() => solver.close());

const LIMITS = { timeLimitMs: 3_000, targetGap: 0.001 };

function solved(input: PlanInput): Promise<Plan> {
  return solvePlan(input, { epoch: 1 }, solver, performance, LIMITS);
}

const PLANNERS: readonly [string, (input: PlanInput) => Promise<Plan>][] = [
  ['solver', solved],
  ['greedy', async (input) => greedyPlan(input, { epoch: 1 })],
];

const CAPABLE = {
  deviceClass: 'webgpu:a',
  share: 0.6,
  options: [{ variant: 'v', accuracy: 0.9, costPicoUsd: 10 }],
};
const GPU = { id: 'gpu', tier: 'pool', busyPicoUsdPerMs: 100_000 } as const;

describe.each(PLANNERS)('the %s', (source, plan) => {
  test('serves demand from the cheapest place that keeps deadline and accuracy', async () => {
    const input = planInput({
      classes: [workers(), workers(GPU)],
      variants: [
        variant('cheap-and-poor', { cpu: 5, gpu: 1 }, { accuracy: 0.7 }),
        variant('cheap-and-slow', { cpu: 90 }, { accuracy: 0.95 }),
        variant('good', { cpu: 20, gpu: 2 }, { accuracy: 0.9 }),
      ],
      demands: [demand({ minAccuracy: 0.85 })],
    });
    const found = await plan(input);
    expect(found).toMatchObject({ source, unservedPerSecond: 0 });
    expect(found.flows).toEqual([
      expect.objectContaining({ variant: 'good', place: { tier: 'edge', id: 'cpu' }, requestsPerSecond: 10 }),
    ]);
    checkPlan(input, found);
  });

  test('uses the dearer class for what the cheaper one has no time for', async () => {
    const input = planInput({
      classes: [workers({ workers: 1, min: 1, max: 1 }), workers(GPU)],
      variants: [variant('v', { cpu: 20, gpu: 10 })],
      demands: [demand({ requestsPerSecond: 80 })],
    });
    const found = await plan(input);
    const served = Object.fromEntries(found.flows.map((flow) => [flow.place.id, flow.requestsPerSecond]));
    expect(served).toEqual({ cpu: expect.closeTo(50, 3), gpu: expect.closeTo(30, 3) });
    // One more busy millisecond on the CPU spares a twentieth of a request on the GPU, and costs itself.
    expect(found.prices.prices).toEqual([
      { tier: 'edge', deviceClass: 'cpu', picoUsdPerMs: expect.closeTo((10 * 100_000 - 20 * 1_000) / 20, 0) },
    ]);
  });

  test('never sends more to pages than their share, and nothing that they cannot do', async () => {
    const pages = [
      CAPABLE,
      {
        ...CAPABLE,
        deviceClass: 'webgpu:b',
        share: 0.1,
        options: [{ variant: 'v', accuracy: 0.5, costPicoUsd: 1 }],
      },
    ];
    const input = planInput({ demands: [demand({ minAccuracy: 0.8, pages })] });
    const found = await plan(input);
    expect(found.flows.map(({ place, requestsPerSecond }) => [place.id, requestsPerSecond])).toEqual([
      ['cpu', expect.closeTo(4, 6)],
      ['webgpu:a', expect.closeTo(6, 6)],
    ]);
  });

  test('leaves a page alone that costs more than a worker, and one that saves battery has no share', async () => {
    const dear = { ...CAPABLE, options: [{ variant: 'v', accuracy: 0.9, costPicoUsd: 1e6 }] };
    const saving = { ...CAPABLE, share: 0 };
    for (const group of [dear, saving]) {
      const found = await plan(planInput({ demands: [demand({ pages: [group] })] }));
      expect(found.flows.map(({ place }) => place.tier)).toEqual(['edge']);
    }
  });

  test('wants no worker and no replica where another tier keeps the deadline: it scales to zero', async () => {
    const elastic = workers({ min: 0, max: 4, busyPicoUsdPerMs: 0, workerPicoUsdPerMs: 1_000 });
    const input = planInput({
      classes: [elastic],
      demands: [demand({ pages: [{ ...CAPABLE, share: 1 }] })],
    });
    const found = await plan(input);
    expect(found.placements).toEqual([{ workerClass: 'cpu', wantedWorkers: 0, replicas: [] }]);
    expect(found.unservedPerSecond).toBe(0);
  });

  test('wants as many workers as demand needs, within the bounds, and leaves the rest unserved', async () => {
    const elastic = workers({ workers: 0, min: 0, max: 3, busyPicoUsdPerMs: 0, workerPicoUsdPerMs: 1_000 });
    const wanted = async (requestsPerSecond: number) => {
      const found = await plan(planInput({ classes: [elastic], demands: [demand({ requestsPerSecond })] }));
      return [found.placements[0]?.wantedWorkers, Math.round(found.unservedPerSecond)];
    };
    expect(await wanted(30)).toEqual([1, 0]);
    expect(await wanted(70)).toEqual([2, 0]);
    expect(await wanted(200)).toEqual([3, 50]);
  });

  test('holds no more on a worker than its memory takes', async () => {
    const input = planInput({
      classes: [workers({ workers: 1, min: 1, max: 1, memoryBytes: 250 }), workers(GPU)],
      variants: ['a', 'b', 'c'].map((task) => variant('v', { cpu: 10, gpu: 10 }, { task })),
      demands: ['a', 'b', 'c'].map((task) => demand({ id: task, task })),
    });
    const found = await plan(input);
    checkPlan(input, found);
    expect(found.placements.map(({ replicas }) => replicas.length)).toEqual([2, 1]);
  });

  test('counts on no memory that is spread over several workers', async () => {
    // Three of 600 bytes are less than 2 × 1,000, but one worker has room for one.
    const input = planInput({
      demands: ['a', 'b', 'c'].map((task) => demand({ id: task, task })),
      variants: ['a', 'b', 'c'].map((task) => variant('v', { cpu: 20 }, { task, memoryBytes: 600 })),
    });
    const found = await plan(input);
    checkPlan(input, found);
    expect(found.placements[0]?.replicas).toHaveLength(2);
    expect(found.unservedPerSecond).toBeCloseTo(10, 6);
  });

  test('knows of what is loaded that it is there, also where another variant does as well', async () => {
    const input = planInput({
      variants: [
        variant('better', { cpu: 19 }, { loaded: 2, loadMs: 1 }),
        variant('loaded', { cpu: 20 }, { loaded: 2, loadMs: 60_000 }),
      ],
    });
    expect(findRoutes(input).places.map(({ variant: { variant: name } }) => name)).toEqual([
      'better',
      'loaded',
    ]);
    checkPlan(input, await plan(input));
  });

  test('upgrades to a faster variant when load rises, and back to the cheaper one when it falls', async () => {
    const chosen = async (requestsPerSecond: number) => {
      const found = await plan(
        planInput({
          classes: [
            workers({ id: 'cpu', workers: 0, min: 0, max: 2, busyPicoUsdPerMs: 0, workerPicoUsdPerMs: 100 }),
            workers({ ...GPU, workers: 0, min: 0, max: 2, busyPicoUsdPerMs: 0, workerPicoUsdPerMs: 1_000 }),
          ],
          variants: [variant('on-cpu', { cpu: 20 }), variant('on-gpu', { gpu: [5, 6, 8] })],
          demands: [demand({ requestsPerSecond })],
        }),
      );
      const [most] = [...found.flows].sort((a, b) => b.requestsPerSecond - a.requestsPerSecond);
      return most?.variant;
    };
    expect(await chosen(20)).toBe('on-cpu');
    expect(await chosen(400)).toBe('on-gpu');
    expect(await chosen(20)).toBe('on-cpu');
  });

  test('takes the batch with the least time for each request that keeps the deadline and fills in time', async () => {
    const batchOf = async (sloMs: number, requestsPerSecond: number) => {
      const found = await plan(
        planInput({
          variants: [variant('v', { cpu: [10, 12, 16, 24] })],
          demands: [demand({ sloMs, requestsPerSecond })],
        }),
      );
      return found.flows[0]?.batch;
    };
    expect(await batchOf(100, 200)).toBe(8);
    expect(await batchOf(30, 200)).toBe(2);
    expect(await batchOf(100, 1)).toBe(1);
  });

  test('serves callers who pay for accuracy with the more accurate variant', async () => {
    const variants = [
      variant('small', { cpu: 5 }, { accuracy: 0.8 }),
      variant('large', { cpu: 10 }, { accuracy: 0.9 }),
    ];
    const chosen = async (accuracyPicoUsd: number) =>
      (await plan(planInput({ variants, demands: [demand({ accuracyPicoUsd })] }))).flows[0]?.variant;
    expect(await chosen(0)).toBe('small');
    expect(await chosen(1e6)).toBe('large');
  });

  test('keeps payloads off a tier that they may not go to', async () => {
    const input = planInput({
      classes: [workers({ busyPicoUsdPerMs: 9_999 }), workers({ ...GPU, busyPicoUsdPerMs: 1 })],
      variants: [variant('v', { cpu: 10, gpu: 10 })],
      demands: [demand({ tiers: ['edge'] })],
    });
    expect((await plan(input)).flows.map(({ place }) => place.id)).toEqual(['cpu']);
  });

  test('loads are cost: what is loaded already is used before what would be only a little better', async () => {
    const variants = [
      variant('loaded', { cpu: 10 }, { loaded: 2 }),
      variant('better', { cpu: 9 }, { loadMs: 60_000 }),
    ];
    const chosen = async (requestsPerSecond: number) =>
      (await plan(planInput({ variants, demands: [demand({ requestsPerSecond })] }))).flows.map(
        (flow) => flow.variant,
      );
    expect(await chosen(10)).toEqual(['loaded']);
  });

  test('plans nothing for nothing', async () => {
    for (const input of [
      planInput({ demands: [] }),
      planInput({ classes: [] }),
      planInput({ variants: [] }),
      planInput({ demands: [demand({ requestsPerSecond: 0 })] }),
    ]) {
      const found = await plan(input);
      expect(found.flows).toEqual([]);
      expect(found.unservedPerSecond).toBe(
        input.demands.reduce((sum, { requestsPerSecond }) => sum + requestsPerSecond, 0),
      );
      expect(found.placements.every(({ replicas }) => replicas.length === 0)).toBe(true);
    }
  });

  test.each([1, 2, 3])('gives plans that hold, on a made-up instance (seed %i)', async (seed) => {
    const input = planInstance(seed, { variants: 40, classes: 8 });
    checkPlan(input, await plan(input));
  });

  test.each([
    [{ demands: [demand({ requestsPerSecond: Number.NaN })] }, /demand "demand"/],
    [{ demands: [demand({ requestsPerSecond: -1 })] }, /demand "demand"/],
    [{ classes: [workers({ min: 3, max: 2 })] }, /class "cpu"/],
    [{ rule: { targetUtilisation: 0 } }, /targetUtilisation/],
    [{ rule: { horizonSeconds: Number.POSITIVE_INFINITY } }, /horizonSeconds/],
  ])('refuses input that makes no sense: %o', async (overrides, message) => {
    await expect(async () => plan(planInput(overrides))).rejects.toThrow(message);
  });
});

describe('the solved plan', () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])(
    'equals brute force on small instances (seed %i)',
    async (seed) => {
      const input = smallInstance(seed);
      const found = await solved(input);
      const best = await bruteForce(input, solver);
      checkPlan(input, found);
      expect(found.boundPicoUsdPerSecond).toBeLessThanOrEqual(best * (1 + 1e-6) + 1);
      expect(found.objectivePicoUsdPerSecond).toBeGreaterThanOrEqual(best * (1 - 1e-6) - 1);
      expect(found.objectivePicoUsdPerSecond).toBeLessThanOrEqual(best * 1.05);
    },
  );

  test('prices are duals: a little more time lowers the cost by the price of that time', async () => {
    const input = (targetUtilisation: number) =>
      planInput({
        classes: [workers(), workers(GPU)],
        variants: [variant('v', { cpu: 20, gpu: 10 })],
        demands: [demand({ requestsPerSecond: 150 })],
        rule: { targetUtilisation },
      });
    const before = await solved(input(0.8));
    const after = await solved(input(0.801));
    const price = before.prices.prices.find(({ tier }) => tier === 'edge')?.picoUsdPerMs ?? 0;
    expect(price).toBeGreaterThan(0);
    const moreMs = 2 * 1_000 * 0.001;
    const saved = before.objectivePicoUsdPerSecond - after.objectivePicoUsdPerSecond;
    expect(saved / (moreMs * price)).toBeCloseTo(1, 3);
  });

  test('has no price where there is time to spare', async () => {
    expect((await solved(planInput())).prices.prices).toEqual([]);
  });

  test('is within 5 % of the bound, and the greedy one within 30 %, on made-up instances', async () => {
    for (const seed of [11, 12, 13]) {
      const input = planInstance(seed, { variants: 60, classes: 12 });
      const found = await solved(input);
      const greedy = greedyPlan(input, { epoch: 1 });
      expect(planGap(found)).toBeLessThan(0.05);
      expect(planGap({ ...greedy, boundPicoUsdPerSecond: found.boundPicoUsdPerSecond })).toBeLessThan(0.3);
      expect(found.objectivePicoUsdPerSecond).toBeLessThanOrEqual(greedy.objectivePicoUsdPerSecond);
    }
  });

  test('is the greedy one while the solver is late, with the bound if there was time for that', async () => {
    const input = planInstance(3, { variants: 20, classes: 4 });
    const late = await solvePlan(input, { epoch: 7 }, answering(0), performance, LIMITS);
    const greedy = greedyPlan(input, { epoch: 7 });
    expect(late).toEqual(greedy);
    expect(late).toMatchObject({ source: 'greedy', boundPicoUsdPerSecond: 0, epoch: 7 });
    expect(planGap(late)).toBe(Number.POSITIVE_INFINITY);

    const bounded = await solvePlan(input, { epoch: 7 }, answering(1), performance, LIMITS);
    expect(bounded.source).toBe('greedy');
    expect(bounded.boundPicoUsdPerSecond).toBeGreaterThan(0);
    expect(bounded.objectivePicoUsdPerSecond).toBeLessThanOrEqual(greedy.objectivePicoUsdPerSecond);
  });

  test('spends no more time than it is given', async () => {
    let now = 0;
    const asked: number[] = [];
    const slow: Solver = {
      solve: (problem, options) => {
        asked.push(options.timeLimitMs);
        now += options.timeLimitMs;
        return solver.solve(problem, { timeLimitMs: 20_000 });
      },
      close: async () => {},
    };
    const input = planInstance(3, { variants: 20, classes: 4 });
    const found = await solvePlan(input, { epoch: 1 }, slow, { now: () => now }, { timeLimitMs: 1_000 });
    expect(now).toBeCloseTo(1_000, 6);
    expect(asked).toEqual([700, expect.closeTo(300, 6)]);
    expect(found.source).toBe('solver');
  });
});

/** A solver that answers so many programs, and is late with all others. */
function answering(count: number): Solver {
  let left = count;
  return {
    solve: async (problem, options) => {
      left -= 1;
      return left >= 0 ? solver.solve(problem, options) : { kind: 'late' };
    },
    close: async () => {},
  };
}

/** Two tasks, two classes, one of which may grow, and little memory. */
function smallInstance(seed: number): PlanInput {
  let state = seed;
  const between = (low: number, high: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return low + ((high - low) * state) / 2 ** 32;
  };
  return planInput({
    classes: [
      workers({ memoryBytes: between(150, 400) }),
      workers({
        ...GPU,
        workers: 0,
        min: 0,
        max: 2,
        busyPicoUsdPerMs: 0,
        workerPicoUsdPerMs: between(500, 20_000),
        memoryBytes: between(150, 400),
      }),
    ],
    variants: ['a', 'b'].flatMap((task) =>
      [0.8, 0.9].map((accuracy) =>
        variant(
          `v${accuracy}`,
          { cpu: between(5, 30) * accuracy, gpu: between(2, 9) },
          {
            accuracy,
            task,
            memoryBytes: between(80, 200),
            loadMs: between(100, 20_000),
            loaded: Math.round(between(0, 1)),
          },
        ),
      ),
    ),
    demands: ['a', 'b'].flatMap((task) =>
      [0.8, 0.9].map((minAccuracy) =>
        demand({ id: `${task}${minAccuracy}`, task, minAccuracy, requestsPerSecond: between(1, 60) }),
      ),
    ),
  });
}
