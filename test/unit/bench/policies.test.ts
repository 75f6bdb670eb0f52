import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AimdBatchSize } from '../../../bench/src/policies/aimd.ts';
import { chooseFixedVariant, largestBatchWithin } from '../../../bench/src/policies/fixed-variant.ts';
import { earlyDrop } from '../../../bench/src/policies/informed/batching.ts';
import { TransitBook } from '../../../bench/src/policies/informed/transit.ts';
import { momentsOf } from '../../../bench/src/policies/informed.ts';
import {
  allocate,
  expectedRate,
  formulate,
  type ProteusOption,
} from '../../../bench/src/policies/proteus/allocate.ts';
import { proactiveBatch } from '../../../bench/src/policies/proteus/batching.ts';
import { createHighs } from '../../../bench/src/policies/proteus/solver.ts';
import { smallestStaticFleet } from '../../../bench/src/policies/smallest-fleet.ts';
import { ProfileTable } from '../../../bench/src/profile-table.ts';
import type { SimulatedWorker } from '../../../bench/src/simulator/policy.ts';
import { fleetClass, row, scenario, task } from './scenario-builders.ts';

describe('AIMD batching (clipper)', () => {
  test('grows by one after a full batch in time and is cut by 10 % after one that was too slow', () => {
    const aimd = new AimdBatchSize(64);
    for (let index = 0; index < 19; index += 1) aimd.observe(aimd.size, 10, 20);
    expect(aimd.size).toBe(20);
    aimd.observe(20, 21, 20);
    expect(aimd.size).toBe(18);
  });

  test('does not grow from batches below its limit, nor beyond what the hardware runs', () => {
    const aimd = new AimdBatchSize(3);
    for (let index = 0; index < 9; index += 1) aimd.observe(aimd.size, 1, 20);
    expect(aimd.size).toBe(3);
    aimd.observe(3, 21, 20);
    aimd.observe(1, 1, 20);
    expect(aimd.size).toBe(2);
  });

  test('settles around the largest batch that is in time', () => {
    fc.assert(
      fc.property(fc.integer({ min: 4, max: 60 }), (most) => {
        const aimd = new AimdBatchSize(64);
        const sizes: number[] = [];
        for (let index = 0; index < 400; index += 1) {
          aimd.observe(aimd.size, aimd.size, most);
          if (index >= 200) sizes.push(aimd.size);
        }
        expect(Math.max(...sizes)).toBeLessThanOrEqual(most + 1);
        expect(Math.min(...sizes)).toBeGreaterThanOrEqual(Math.floor((most + 1) * 0.9) - 1);
      }),
    );
  });
});

describe('the variant that a person fixes', () => {
  const rows = [
    row({ variant: 'small', accuracy: 0.8, p50Ms: 4 }),
    row({ variant: 'medium', accuracy: 0.9, p50Ms: 10 }),
    row({ variant: 'large', accuracy: 0.95, p50Ms: 30 }),
    row({ variant: 'medium', accuracy: 0.9, p50Ms: 2, deviceClass: 'gpu' }),
    row({ variant: 'medium', accuracy: 0.9, p50Ms: 4, deviceClass: 'gpu', batch: 8 }),
  ];
  const choose = (minAccuracy: number, gpuUsdPerHour: number, sloMs = 50) => {
    const given = scenario({
      tasks: [task({ minAccuracy, sloMs })],
      profiles: rows,
      fleet: [fleetClass(), fleetClass({ deviceClass: 'gpu', tier: 'pool', usdPerHour: gpuUsdPerHour })],
    });
    return chooseFixedVariant(given, new ProfileTable(rows), task({ minAccuracy, sloMs }));
  };

  test('is the cheapest that is accurate enough, with replicas wherever it is quick enough', () => {
    expect(choose(0.7, 10)?.variant).toBe('small');
    expect(choose(0.85, 10)).toMatchObject({ variant: 'medium', deviceClasses: new Set(['cpu', 'gpu']) });
    expect(choose(0.85, 10, 15)).toMatchObject({ variant: 'medium', deviceClasses: new Set(['gpu']) });
  });

  test('counts a batch at the price of one of its inputs', () => {
    // 0.5 ms an input on the GPU at 7 times the price is cheaper than 4 ms on a CPU.
    expect(choose(0.7, 7)?.variant).toBe('medium');
    expect(choose(0.7, 9)?.variant).toBe('small');
  });

  test('is the fastest accurate one where none is quick enough, and none where none is accurate', () => {
    expect(choose(0.92, 1, 20)?.variant).toBe('large');
    expect(choose(0.99, 1)).toBeUndefined();
  });

  test('keeps batches to the time that is given', () => {
    const profile = new ProfileTable(rows).find('a', 'medium', 'gpu');
    expect(profile && largestBatchWithin(profile, 3)).toBe(4);
    expect(profile && largestBatchWithin(profile, 1)).toBe(1);
  });
});

describe('the allocation of proteus', () => {
  const option = (over: Partial<ProteusOption> = {}): ProteusOption => ({
    task: 'a',
    variant: 'large',
    deviceClass: 'gpu',
    accuracy: 0.9,
    peakPerSecond: 10,
    ...over,
  });
  const small = option({ variant: 'small', accuracy: 0.5, peakPerSecond: 40 });

  test('is a program with the demand, the peaks and the devices', () => {
    const text = formulate(
      { options: [option(), small], devices: new Map([['gpu', 3]]), demand: new Map([['a', 20]]) },
      1.05,
    );
    expect(text.split('\n').map((line) => line.trim())).toEqual([
      'Maximize',
      'accuracy: 0.9 y0 + 0.5 y1',
      'Subject To',
      'd0: y0 + y1 = 21',
      'p0: y0 - 10 n0 <= 0',
      'p1: y1 - 40 n1 <= 0',
      'c0: n0 + n1 <= 3',
      'General',
      'n0 n1',
      'End',
      '',
    ]);
  });

  test.each([
    ['serves all demand though only the less accurate variant can', 60, 2, 63],
    ['cuts the demand that it plans for by steps when it is too much', 100, 2, 80],
  ])('%s', async (_, demand, devices, served) => {
    const plan = allocate(await createHighs(), {
      options: [option(), small],
      devices: new Map([['gpu', devices]]),
      demand: new Map([['a', demand]]),
    });
    expect(plan?.reduce((sum, { perSecond }) => sum + perSecond, 0)).toBeCloseTo(served, 6);
    expect(plan?.reduce((sum, { devices: count }) => sum + count, 0)).toBeLessThanOrEqual(devices);
    for (const { option: own, devices: count, perSecond } of plan ?? []) {
      expect(perSecond).toBeLessThanOrEqual(count * own.peakPerSecond + 1e-6);
    }
  });

  test('has no plan where less than a fifth of the demand could be served, and none without demand', async () => {
    const problem = { options: [option()], devices: new Map([['gpu', 1]]) };
    const highs = await createHighs();
    expect(allocate(highs, { ...problem, demand: new Map([['a', 60]]) })).toBeUndefined();
    expect(allocate(highs, { ...problem, demand: new Map([['a', 0]]) })).toEqual([]);
  });

  test('expects a mean in which each window weighs 1.6 times the one before', () => {
    expect(expectedRate([16, 8], 1.6)).toBeCloseTo((16 + 8 / 1.6) / (1 + 1 / 1.6), 10);
    expect(expectedRate([], 1.6)).toBe(0);
  });
});

describe('the batching of proteus', () => {
  const serviceMs = (batch: number) => 4 + batch;
  test.each([
    [
      'waits until the first deadline less the time of the batch',
      [100, 110],
      0,
      { kind: 'wait', drop: 0, untilMs: 94 },
    ],
    ['runs a full batch at once', [100, 110, 120, 130], 0, { kind: 'run', drop: 0, size: 4 }],
    ['runs at the last moment', [100, 110], 94, { kind: 'run', drop: 0, size: 2 }],
    [
      'runs without the last one when it came too late for that',
      [100, 110],
      94.5,
      { kind: 'run', drop: 0, size: 1 },
    ],
    ['drops what cannot be done any more', [100, 120], 96, { kind: 'wait', drop: 1, untilMs: 115 }],
    ['drops all of a dead queue', [10, 20], 96, { kind: 'wait', drop: 2, untilMs: Number.POSITIVE_INFINITY }],
    [
      'waits for ever for an empty queue',
      [],
      0,
      { kind: 'wait', drop: 0, untilMs: Number.POSITIVE_INFINITY },
    ],
  ])('%s', (_, doneByMs, nowMs, expected) => {
    expect(proactiveBatch(doneByMs, nowMs, 4, serviceMs)).toEqual(expected);
  });

  test('never runs a batch that is predicted to be late for its first request', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 12 }),
        fc.nat(200),
        (deadlines, nowMs) => {
          const sorted = deadlines.toSorted((a, b) => a - b);
          const step = proactiveBatch(sorted, nowMs, 4, serviceMs);
          if (step.kind === 'wait') expect(step.untilMs).toBeGreaterThan(nowMs);
          else expect(nowMs + serviceMs(step.size)).toBeLessThanOrEqual(sorted[step.drop] ?? 0);
        },
      ),
    );
  });
});

describe('the early drop of informed', () => {
  const serviceMs = (batch: number) => 4 + batch;
  test.each([
    ['runs all that waits when the first has time for it', [100, 110], 0, { drop: 0, run: 2 }],
    ['runs as many as the first has time for', [100, 110, 120], 93, { drop: 0, run: 3 }],
    ['cuts the batch to the time of the first', [100, 110, 120], 94, { drop: 0, run: 2 }],
    ['gives up what cannot be done at all', [100, 110], 96, { drop: 1, run: 1 }],
    [
      'gives up for a full batch what is at the front of a backlog',
      [100, 105, 110, 111, 112, 113],
      93,
      { drop: 1, run: 4 },
    ],
    [
      'keeps the front where the rest is less than a full batch',
      [100, 101, 102, 103, 120],
      95,
      { drop: 0, run: 1 },
    ],
    ['runs nothing of a dead queue', [10, 20], 50, { drop: 2, run: 0 }],
    ['runs nothing of an empty queue', [], 50, { drop: 0, run: 0 }],
  ])('%s', (_, doneByMs, nowMs, expected) => {
    expect(earlyDrop(doneByMs, nowMs, 4, serviceMs)).toEqual(expected);
  });

  test('forgets what has arrived of what was sent', () => {
    const book = new TransitBook();
    const worker = {} as SimulatedWorker;
    for (const arrivesMs of [5, 20, 10]) book.add(worker, { task: 'a', variant: 'v', arrivesMs });
    expect(book.of(worker, 10).map(({ arrivesMs }) => arrivesMs)).toEqual([20]);
    expect(book.of(worker, 20)).toEqual([]);
  });
});

describe('the spread that informed takes from a profile', () => {
  test('is none where all quantiles are the same', () => {
    expect(momentsOf({ meanMs: 5, p50Ms: 5, p90Ms: 5, p99Ms: 5 })).toEqual({ meanMs: 5, varianceMs2: 0 });
  });
});

describe('the smallest static fleet', () => {
  const two = scenario({
    fleet: [fleetClass({ usdPerHour: 1 }), fleetClass({ deviceClass: 'gpu', tier: 'pool', usdPerHour: 10 })],
  });
  /** As if a GPU were worth `worth` CPUs and `needed` CPUs were needed. */
  const attained = (needed: number, worth: number) => (given: typeof two) => {
    const of = (name: string) => given.fleet.find(({ deviceClass }) => deviceClass === name)?.count ?? 0;
    return Math.min(1, (of('cpu') + worth * of('gpu')) / needed);
  };
  const policy = () => {
    throw new Error('Expected the policy not to be made');
  };

  test.each([
    ['leaves out the dear class where the cheap one is worth more', 37, 5, { cpu: 37, gpu: 0 }],
    ['leaves out the cheap class where the dear one is worth it', 37, 20, { cpu: 0, gpu: 2 }],
  ])('%s', async (_, needed, worth, counts) => {
    const fleet = await smallestStaticFleet(policy, two, attained(needed, worth), { target: 1 });
    expect(fleet?.counts).toEqual(counts);
    expect(fleet?.scenario.fleet.every(({ count, min, max }) => count === min && count === max)).toBe(true);
  });

  test('is enough, and no worker of it can be left out', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 300 }),
        fc.integer({ min: 1, max: 30 }),
        async (needed, worth) => {
          const attainmentOf = attained(needed, worth);
          const fleet = await smallestStaticFleet(policy, two, attainmentOf, { target: 0.99 });
          expect(fleet?.attainment).toBeGreaterThanOrEqual(0.99);
          const { cpu = 0, gpu = 0 } = fleet?.counts ?? {};
          const reach = (cpus: number, gpus: number) => Math.min(1, (cpus + worth * gpus) / needed);
          if (cpu > 0) expect(reach(cpu - 1, gpu)).toBeLessThan(0.99);
          if (gpu > 0) expect(reach(cpu, gpu - 1)).toBeLessThan(0.99);
        },
      ),
      { numRuns: 50 },
    );
  });

  test('uses only the classes that are allowed', async () => {
    const fleet = await smallestStaticFleet(policy, two, attained(20, 5), {
      target: 1,
      deviceClasses: ['gpu'],
    });
    expect(fleet?.counts).toEqual({ gpu: 4 });
    expect(fleet?.usdPerHour).toBe(40);
  });

  test('is none where even the largest fleet misses the target', async () => {
    expect(await smallestStaticFleet(policy, two, () => 0.5, { mostOfClass: 8 })).toBeUndefined();
  });
});
