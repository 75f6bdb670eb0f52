import { describe, expect, test } from 'vitest';
import { createEngines, type Engine, fitLine } from '../../../bench/src/policies/infaas/engines.ts';
import { RequestRate, Utilisation } from '../../../bench/src/policies/infaas/measure.ts';
import { isBlacklistedAfter, Replica } from '../../../bench/src/policies/infaas/replica.ts';
import {
  INITIAL_MACHINE_STATE,
  lookAtMachines,
  type MachineLook,
} from '../../../bench/src/policies/infaas/scale-machines.ts';
import {
  countVotes,
  growth,
  scaleNeed,
  throughputPerSecond,
} from '../../../bench/src/policies/infaas/scale-models.ts';
import { candidateLimit, remember, selectEngine } from '../../../bench/src/policies/infaas/select.ts';
import { Profile, ProfileTable } from '../../../bench/src/profile-table.ts';
import type { SimulatedWorker } from '../../../bench/src/simulator/policy.ts';

const IDLE = { isRunning: false, isBlacklisted: false };
const RUNNING = { isRunning: true, isBlacklisted: false };
const BLACKLISTED = { isRunning: true, isBlacklisted: true };

function engine(key: string, over: Partial<Engine> = {}): Engine {
  const latencyMs = over.latencyMs ?? 10;
  return {
    key,
    task: 'a',
    variant: key,
    deviceClass: 'cpu',
    isGpu: false,
    maxBatch: 1,
    accuracy: 0.9,
    loadMs: 100,
    fit: { slopeMs: 0, interceptMs: latencyMs },
    latencyMs,
    ...over,
  };
}

function profile(times: Readonly<Record<number, number>>, over = {}): Profile {
  return new Profile(
    Object.entries(times).map(([batch, p50Ms]) => ({
      task: 'a',
      variant: 'v',
      deviceClass: 'gpu',
      batch: Number(batch),
      p50Ms,
      accuracy: 0.9,
      loadMs: 100,
      memoryBytes: 1,
      ...over,
    })),
  );
}

describe('the fitted line', () => {
  test('is the least-squares line through batches of 1, 4 and 8, whatever larger ones take', () => {
    // 1 → 3, 4 → 8, 8 → 18: slope 2.162…, by hand from means 13/3 and 29/3.
    const { slopeMs, interceptMs } = fitLine(profile({ 1: 3, 4: 8, 8: 18, 32: 900 }));
    expect(slopeMs).toBeCloseTo(80 / 37, 10);
    expect(interceptMs).toBeCloseTo(29 / 3 - (80 / 37) * (13 / 3), 10);
  });

  test('takes a batch for as slow as its inputs one by one where only one size was profiled', () => {
    expect(fitLine(profile({ 1: 7 })).slopeMs).toBeCloseTo(7, 10);
  });

  test('gives a GPU an engine for each batch size and a CPU one engine', () => {
    const rows = ['gpu', 'cpu'].flatMap((deviceClass) =>
      [1, 4, 8, 64].map((batch) => ({
        task: 'a',
        variant: 'v',
        deviceClass,
        batch,
        p50Ms: 2 + batch,
        accuracy: 0.9,
        loadMs: 1,
        memoryBytes: 1,
      })),
    );
    const fleetClass = { count: 1, usdPerHour: 1, min: 1, max: 1, startupMs: 0, memoryBytes: 9 };
    const task = {
      task: 'a',
      sloMs: 50,
      minAccuracy: 0,
      prefer: 'cost',
      payloadBytes: 0,
      answerBytes: 0,
    } as const;
    const engines = createEngines(
      {
        tasks: [{ ...task, arrivals: [] }],
        fleet: [
          { ...fleetClass, deviceClass: 'gpu', tier: 'pool' },
          { ...fleetClass, deviceClass: 'cpu', tier: 'edge' },
        ],
      },
      new ProfileTable(rows),
    ).get('a');
    expect(engines?.map(({ key }) => key)).toEqual([
      'a/v@gpu#1',
      'a/v@gpu#4',
      'a/v@gpu#8',
      'a/v@gpu#16',
      'a/v@gpu#32',
      'a/v@cpu#1',
    ]);
    // A GPU is judged at its largest batch, a CPU at the one input that was asked.
    expect(engines?.map(({ latencyMs }) => Math.round(latencyMs))).toEqual([3, 6, 10, 18, 34, 3]);
  });
});

describe('the selection', () => {
  test.each([
    [5, 3],
    [20, 5],
    [50, 12],
    [300, 75],
  ])('looks at as many variants as an SLO of %d ms leaves time for: %d', (sloMs, most) => {
    expect(candidateLimit(sloMs)).toBe(most);
  });

  const cases: readonly {
    readonly rule: string;
    readonly sloMs?: number;
    readonly minAccuracy?: number;
    readonly engines: readonly (readonly [Engine, typeof IDLE])[];
    readonly recent?: readonly string[];
    readonly takes: string | undefined;
    readonly isPlaced?: boolean;
  }[] = [
    {
      rule: 'takes the slowest running engine that fits',
      engines: [
        [engine('fast', { latencyMs: 5 }), RUNNING],
        [engine('slow', { latencyMs: 40 }), RUNNING],
        [engine('late', { latencyMs: 60 }), RUNNING],
      ],
      takes: 'slow',
      isPlaced: true,
    },
    {
      rule: 'keeps to the accuracy that was asked',
      minAccuracy: 0.8,
      engines: [
        [engine('rough', { latencyMs: 40, accuracy: 0.7 }), RUNNING],
        [engine('exact', { latencyMs: 20, accuracy: 0.85 }), RUNNING],
      ],
      takes: 'exact',
      isPlaced: true,
    },
    {
      rule: 'takes one that runs before a slower one that does not',
      engines: [
        [engine('runs', { latencyMs: 5 }), RUNNING],
        [engine('idle', { latencyMs: 40 }), IDLE],
      ],
      takes: 'runs',
      isPlaced: true,
    },
    {
      rule: 'takes of those that do not run the one that is loaded and done first',
      engines: [
        [engine('heavy', { loadMs: 900, latencyMs: 5 }), IDLE],
        [engine('light', { loadMs: 100, latencyMs: 40 }), IDLE],
      ],
      takes: 'light',
      isPlaced: false,
    },
    {
      rule: 'asks for a further worker for a blacklisted GPU',
      engines: [[engine('gpu', { isGpu: true }), BLACKLISTED]],
      takes: 'gpu',
      isPlaced: false,
    },
    {
      rule: 'finds nothing where the only engine is a blacklisted CPU',
      engines: [[engine('cpu'), BLACKLISTED]],
      takes: undefined,
    },
    {
      rule: 'finds nothing where nothing is fast enough',
      engines: [[engine('slow', { latencyMs: 51 }), RUNNING]],
      takes: undefined,
    },
    {
      rule: 'passes over a fast GPU for a loose SLO',
      sloMs: 300,
      engines: [
        [engine('gpu', { isGpu: true, latencyMs: 90 }), RUNNING],
        [engine('cpu', { latencyMs: 60 }), RUNNING],
      ],
      takes: 'cpu',
      isPlaced: true,
    },
    {
      rule: 'takes the fast GPU for a loose SLO when nothing else fits',
      sloMs: 300,
      engines: [
        [engine('gpu', { isGpu: true, latencyMs: 90 }), RUNNING],
        [engine('cpu', { latencyMs: 400 }), RUNNING],
      ],
      takes: 'gpu',
      isPlaced: true,
    },
    {
      rule: 'takes a recent engine though a slower one runs',
      engines: [
        [engine('fast', { latencyMs: 5 }), RUNNING],
        [engine('slow', { latencyMs: 40 }), RUNNING],
      ],
      recent: ['fast'],
      takes: 'fast',
      isPlaced: true,
    },
    {
      rule: 'does not serve a task with the recent engine of another',
      engines: [
        [engine('other', { task: 'b', latencyMs: 5 }), RUNNING],
        [engine('own', { latencyMs: 40 }), RUNNING],
      ],
      recent: ['other'],
      takes: 'own',
      isPlaced: true,
    },
    {
      rule: 'does not look past the candidates that the SLO leaves time for',
      sloMs: 12,
      engines: [
        [engine('one', { latencyMs: 1, accuracy: 0.5 }), RUNNING],
        [engine('two', { latencyMs: 2, accuracy: 0.6 }), RUNNING],
        [engine('three', { latencyMs: 3, accuracy: 0.7 }), RUNNING],
        [engine('four', { latencyMs: 9, accuracy: 0.8 }), RUNNING],
      ],
      takes: 'three',
      isPlaced: true,
    },
  ];

  test.each(cases)('$rule', ({ sloMs = 50, minAccuracy = 0, engines, recent = [], takes, isPlaced }) => {
    const states = new Map(engines.map(([{ key }, state]) => [key, state]));
    const all = engines.map(([own]) => own);
    const selection = selectEngine(
      { task: 'a', sloMs, minAccuracy },
      all.filter(({ task }) => task === 'a'),
      all.filter(({ key }) => recent.includes(key)),
      ({ key }) => states.get(key) ?? IDLE,
    );
    expect(selection?.engine.key).toBe(takes);
    expect(selection?.isPlaced).toBe(isPlaced);
  });

  test('remembers the last five engines, each once, the newest first', () => {
    const seen = ['a', 'b', 'c', 'd', 'b', 'e', 'f'].reduce<readonly Engine[]>(
      (recent, key) => remember(recent, engine(key)),
      [],
    );
    expect(seen.map(({ key }) => key)).toEqual(['f', 'e', 'b', 'd', 'c']);
  });
});

describe('the blacklist of replicas', () => {
  const cpu = engine('cpu', { latencyMs: 20 });
  const gpu = engine('gpu', { latencyMs: 20, isGpu: true });
  const fastGpu = engine('gpu', { latencyMs: 6, isGpu: true });
  const calm = { arrivalsPerSecond: 1, meanLatencyMs: 20, pending: 0, inputs: 1 };
  // Capacity at 20 ms: 50 a second.
  test.each([
    [
      'a CPU is listed above 2.5 times its line at half its capacity',
      cpu,
      false,
      { meanLatencyMs: 51, arrivalsPerSecond: 26 },
      2,
      true,
    ],
    [
      'a CPU is not listed at less than half its capacity',
      cpu,
      false,
      { meanLatencyMs: 51, arrivalsPerSecond: 25 },
      2,
      false,
    ],
    ['a CPU is listed when more waits than it does in 0.8 s', cpu, false, { pending: 81 }, 2, true],
    ['a CPU stays listed between 1.5 and 2.5 times its line', cpu, true, { meanLatencyMs: 31 }, 2, true],
    ['a CPU is let off below 1.5 times its line', cpu, true, { meanLatencyMs: 29 }, 2, false],
    [
      'a single CPU replica has until 4 times its line',
      cpu,
      false,
      { meanLatencyMs: 79, arrivalsPerSecond: 60 },
      1,
      false,
    ],
    [
      'a GPU is listed above 1.5 times its line at 0.3 of its capacity',
      gpu,
      false,
      { meanLatencyMs: 31, arrivalsPerSecond: 16 },
      1,
      true,
    ],
    ['a GPU stays listed between 1.25 and 1.5 times its line', gpu, true, { meanLatencyMs: 26 }, 1, true],
    ['a GPU is let off below 1.25 times its line', gpu, true, { meanLatencyMs: 24 }, 1, false],
    [
      'a GPU of 6 ms has until 2.5 times its line',
      fastGpu,
      false,
      { meanLatencyMs: 14.9, arrivalsPerSecond: 100 },
      1,
      false,
    ],
    [
      'a GPU of 6 ms is listed above 2.5 times its line',
      fastGpu,
      false,
      { meanLatencyMs: 15.1, arrivalsPerSecond: 100 },
      1,
      true,
    ],
  ] as const)('%s', (_, own, was, second, replicas, expected) => {
    expect(isBlacklistedAfter(was, own, { ...calm, ...second }, replicas)).toBe(expected);
  });

  test('counts anew each second, and forgets a CPU that answers nothing quickly', () => {
    const replica = new Replica(cpu);
    for (let index = 0; index < 30; index += 1) replica.arrived();
    replica.ended(100);
    replica.ended(200);
    replica.closeSecond();
    expect(replica).toMatchObject({ arrivalsPerSecond: 30, meanLatencyMs: 150, pending: 28 });
    replica.closeSecond();
    expect(replica).toMatchObject({ arrivalsPerSecond: 0, meanLatencyMs: 10 });
  });
});

describe('the blacklist of workers', () => {
  test('closes a worker for 2 s after 200 requests within a second', () => {
    const rate = new RequestRate();
    for (let index = 0; index < 199; index += 1) rate.add(index);
    expect(rate.isBlacklisted(199)).toBe(false);
    rate.add(999);
    expect(rate.isBlacklisted(2_998)).toBe(true);
    expect(rate.isBlacklisted(2_999)).toBe(false);
  });

  test('counts requests of different seconds apart', () => {
    const rate = new RequestRate();
    for (let index = 0; index < 199; index += 1) rate.add(0);
    for (let index = 0; index < 199; index += 1) rate.add(1_000);
    expect(rate.isBlacklisted(1_000)).toBe(false);
  });

  test('closes a worker that was busy more than 80 % of the time', () => {
    const utilisation = new Utilisation();
    const [busy, idle] = [{}, {}] as unknown as [SimulatedWorker, SimulatedWorker];
    utilisation.add(busy, 810);
    utilisation.add(idle, 790);
    utilisation.closePeriod(1_000);
    expect([utilisation.of(busy), utilisation.of(idle)]).toEqual([0.81, 0.79]);
    expect([utilisation.isBlacklisted(busy, 2_000), utilisation.isBlacklisted(idle, 2_000)]).toEqual([
      true,
      false,
    ]);
  });
});

describe('the scaling of models', () => {
  const cpu = engine('cpu', { latencyMs: 20, loadMs: 1_000 });
  const gpu = (maxBatch: number) =>
    engine(`gpu#${maxBatch}`, { isGpu: true, maxBatch, loadMs: 1_000, fit: { slopeMs: 1, interceptMs: 4 } });

  test('knows what an engine serves from its line', () => {
    expect(throughputPerSecond(cpu)).toBe(50);
    expect(throughputPerSecond(gpu(16))).toBe(800);
  });

  test.each([
    ['a CPU is left alone at 95 % of its capacity', cpu, 47.5, undefined, 0],
    ['a CPU wants one more above that', cpu, 48, undefined, 1],
    ['a CPU wants as many as the load needs', cpu, 160, undefined, 3],
    ['a CPU without requests votes to leave', cpu, 0, undefined, -1],
    ['a GPU is left alone at 80 % of its capacity when its load takes a second', gpu(1), 160, undefined, 0],
    ['a GPU wants more above that', gpu(1), 161, undefined, 1],
    ['a GPU votes for the smaller engine when that would do', gpu(4), 200, gpu(1), -1],
    ['a GPU keeps its engine while the smaller would not do', gpu(4), 201, gpu(1), 0],
  ] as const)('%s', (_, own, rate, smaller, count) => {
    expect(scaleNeed(own, rate, smaller).count).toBe(count);
  });

  test.each([
    ['replicates where that costs less than 1.5 upgrades', 1, 700, 5, 'replicate'],
    ['upgrades where replicas cost more than 1.5 times as much', 2, 1_000, 5, 'upgrade'],
    ['upgrades where there is no room for replicas', 1, 700, 0, 'upgrade'],
  ] as const)('%s', (_, count, loadMs, room, kind) => {
    const short = [{ engine: engine('cpu', { loadMs }), need: { count, excessPerSecond: 10 } }];
    expect(growth(short, gpu(1), room).kind).toBe(kind);
  });

  test('does nothing without a GPU and without room', () => {
    const short = [{ engine: cpu, need: { count: 1, excessPerSecond: 10 } }];
    expect(growth(short, undefined, 0)).toEqual({ kind: 'none' });
  });

  test.each([
    ['GPU', true, 21],
    ['CPU', false, 11],
  ] as const)('shrinks a %s after more votes than its number', (_, isGpu, needed) => {
    let votes = 0;
    const shrunk: boolean[] = [];
    for (let second = 0; second < needed; second += 1) {
      const next = countVotes(votes, -1, isGpu);
      votes = next.votes;
      shrunk.push(next.shrinks);
    }
    expect(shrunk.indexOf(true)).toBe(needed - 1);
    expect(votes).toBe(0);
  });

  test('forgets votes when the variant grows, and keeps them while nothing happens', () => {
    expect(countVotes(7, 1, true).votes).toBe(0);
    expect(countVotes(7, 0, true).votes).toBe(7);
  });
});

describe('the scaling of machines', () => {
  const look = (over: Partial<MachineLook> = {}): MachineLook => ({
    tier: 'pool',
    utilisations: [0.5],
    isAsked: false,
    canStart: true,
    canStop: true,
    ...over,
  });
  const act = (over: Partial<MachineLook>, looks = 1) => {
    let state = INITIAL_MACHINE_STATE;
    const actions: (string | undefined)[] = [];
    for (let index = 0; index < looks; index += 1) {
      const next = lookAtMachines(state, look(over));
      state = next.state;
      actions.push(next.action);
    }
    return actions;
  };

  test('adds a worker when even the least used one is busy more than 80 % of the time', () => {
    expect(act({ utilisations: [0.81, 0.99] })).toEqual(['start']);
    expect(act({ utilisations: [0.8, 0.99] })).toEqual([undefined]);
  });

  test('adds a pool worker that a blacklisted GPU asked for, and no edge worker', () => {
    expect(act({ isAsked: true })).toEqual(['start']);
    expect(act({ isAsked: true, tier: 'edge' })).toEqual([undefined]);
  });

  test('waits 15 looks after a change', () => {
    const actions = act({ utilisations: [0.9] }, 17);
    expect(actions.map((action) => action === 'start')).toEqual([true, ...Array(15).fill(false), true]);
  });

  test('removes a worker after 15 looks of little use in a row', () => {
    expect(act({ utilisations: [0.07, 0.5] }, 15).indexOf('stop')).toBe(14);
    expect(act({ utilisations: [0.2, 0.5] }, 40)).not.toContain('stop');
    expect(act({ utilisations: [0.07], canStop: false }, 40)).not.toContain('stop');
  });
});
