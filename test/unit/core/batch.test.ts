import { type BatchRule, formBatch, leastServiceMs, type Waiting } from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

function waiting(over: Partial<Waiting> = {}): Waiting {
  return { replica: 'digits/tiny', size: 1, deadlineAt: 1_000, priority: 0, ...over };
}

/** Ten milliseconds and one for each input: a device that gains from batches. */
const gaining: BatchRule = { maxBatch: 4, serviceMs: (_, size) => 10 + size };

describe('the order of a queue', () => {
  test('earliest deadline first, named priorities before the default', () => {
    const queue = [
      waiting({ deadlineAt: 900 }),
      waiting({ deadlineAt: 500 }),
      waiting({ deadlineAt: 950, priority: 2 }),
      waiting({ deadlineAt: 990, priority: 1 }),
    ];
    const first = (from: readonly Waiting[]) => formBatch(from, 0, { ...gaining, maxBatch: 1 }).run;
    expect(first(queue)).toEqual([3]);
    expect(first(queue.slice(0, 3))).toEqual([2]);
    expect(first(queue.slice(0, 2))).toEqual([1]);
  });

  test('who is first of equals is first in the queue', () => {
    const queue = Array.from({ length: 9 }, () => waiting());
    expect(formBatch(queue, 0, gaining).run).toEqual([0, 1, 2, 3]);
  });
});

describe('a batch', () => {
  test('holds requests of one replica', () => {
    const queue = [waiting(), waiting({ replica: 'other/large' }), waiting()];
    expect(formBatch(queue, 0, gaining).run).toEqual([0, 2]);
  });

  test('is the largest whose time fits below the slack of its head', () => {
    const queue = Array.from({ length: 4 }, () => waiting({ deadlineAt: 13 }));
    expect(formBatch(queue, 0, gaining).run).toEqual([0, 1, 2]);
  });

  test('passes over a request that is too large for the room that is left, for a smaller one', () => {
    const queue = [waiting({ size: 2, deadlineAt: 900 }), waiting({ size: 3, deadlineAt: 950 }), waiting()];
    expect(formBatch(queue, 0, gaining).run).toEqual([0, 2]);
  });

  test('is not joined by a less important request that would be late in it, though on time alone', () => {
    const queue = [waiting({ priority: 1, size: 3 }), waiting({ deadlineAt: 12 })];
    expect(formBatch(queue, 0, gaining)).toEqual({ run: [0], drop: [] });
  });

  test('is kept small for a member that is more urgent than its head', () => {
    const queue = [waiting({ priority: 1 }), waiting({ deadlineAt: 12 }), waiting(), waiting()];
    expect(formBatch(queue, 0, gaining).run).toEqual([0, 1]);
  });

  test('has to fit with most of its times, where those are known', () => {
    const queue = Array.from({ length: 4 }, () => waiting({ deadlineAt: 13 }));
    const rule: BatchRule = { ...gaining, tailMs: (_, size) => 11 + size };
    expect(formBatch(queue, 0, rule).run).toEqual([0, 1]);
  });

  test('is of one request where the device gains nothing, unless each run costs more than its service', () => {
    const queue = [waiting(), waiting()];
    const linear: BatchRule = { maxBatch: 4, serviceMs: (_, size) => 10 * size };
    expect(formBatch(queue, 0, linear).run).toEqual([0]);
    expect(formBatch(queue, 0, { ...linear, overheadMs: 5 }).run).toEqual([0, 1]);
  });

  test('of a replica that nobody has measured is as large as may be', () => {
    const rule: BatchRule = { maxBatch: 4, serviceMs: () => undefined };
    expect(formBatch([waiting(), waiting({ deadlineAt: 0.1 })], 0, rule).run).toEqual([1, 0]);
  });

  test('larger than the largest runs by itself', () => {
    expect(formBatch([waiting({ size: 9, deadlineAt: 900 }), waiting()], 0, gaining).run).toEqual([0]);
  });
});

describe('early drop', () => {
  test('drops what would be late even if it ran at once and alone, and only that', () => {
    const queue = [
      waiting({ deadlineAt: 5 }),
      waiting({ deadlineAt: 15.9 }),
      waiting({ deadlineAt: 21 }),
      waiting(),
    ];
    const rule: BatchRule = { ...gaining, leastServiceMs: () => 6 };
    expect(formBatch(queue, 10, rule)).toEqual({ run: [2], drop: [0, 1] });
    expect(formBatch([], 10, rule)).toEqual({ run: [], drop: [] });
  });

  test('by default takes nine tenths of the mean for fast, and never more than the mean', () => {
    const queue = [waiting({ deadlineAt: 19.8 }), waiting({ deadlineAt: 20 }), waiting()];
    expect(formBatch(queue, 10, gaining)).toEqual({ run: [1], drop: [0] });
    const rule: BatchRule = { ...gaining, leastServiceMs: () => 500 };
    expect(formBatch([waiting({ deadlineAt: 21 })], 10, rule)).toEqual({ run: [0], drop: [] });
    expect(leastServiceMs(gaining, 'any', 1)).toBeCloseTo(9.9);
    expect(leastServiceMs({ ...gaining, serviceMs: () => undefined }, 'any', 1)).toBeUndefined();
  });

  test('gives a request its best chance, alone, where it is late by the mean but might not be', () => {
    const rule: BatchRule = {
      maxBatch: 4,
      serviceMs: (replica, size) => (replica === 'slow' ? 12 : 10.5) + size / 100,
    };
    const tight = waiting({ replica: 'slow', alternatives: ['quick'], deadlineAt: 10 });
    const patient = waiting({ replica: 'quick' });
    expect(formBatch([tight, patient], 0, rule)).toEqual({ run: [0], drop: [], replica: 'quick' });
  });

  test('an answer that is of use for long is not given up', () => {
    const urgent = waiting({ deadlineAt: 10 + 5_000 });
    expect(formBatch([urgent], 10, { ...gaining, serviceMs: () => 400 }).run).toEqual([0]);
  });
});

describe('a head with no time for a full batch', () => {
  const others = Array.from({ length: 12 }, () => waiting());
  const tight = [waiting({ deadlineAt: 11 }), ...others];

  test('is passed over while three full batches of others wait, unless that is forbidden', () => {
    expect(formBatch(tight, 0, gaining)).toEqual({ run: [1, 2, 3, 4], drop: [] });
    expect(formBatch(tight, 0, { ...gaining, passesOver: false })).toEqual({ run: [0], drop: [] });
    expect(formBatch(tight.slice(0, 12), 0, gaining).run).toEqual([0]);
  });

  test('is served where its own batch takes less than twice as long for each input', () => {
    // 12 ms for two are 6 each, 14 for four are 3.5.
    expect(formBatch([waiting({ deadlineAt: 12 }), ...others], 0, gaining).run).toEqual([0, 1]);
  });

  test('gives way to the largest batch that its replica can have, where that of the device is larger', () => {
    const serviceMs = (_replica: string, size: number) => (size > 4 ? Number.POSITIVE_INFINITY : 10 + size);
    expect(formBatch(tight, 0, { maxBatch: 16, serviceMs }).run).toEqual([1, 2, 3, 4]);
  });

  test('is not passed over for less important ones', () => {
    const [first, ...rest] = tight as [Waiting, ...Waiting[]];
    expect(formBatch([{ ...first, priority: 1 }, ...rest], 0, gaining).run).toEqual([0]);
  });
});

describe('a choice of replicas', () => {
  const times: Record<string, number> = { small: 2, middle: 20, large: 80 };
  const rule: BatchRule = {
    maxBatch: 4,
    serviceMs: (replica, size) => (times[replica] ?? 0) * (0.5 + size / 2),
  };
  const any = { replica: 'small', alternatives: ['middle', 'large'] };

  test('takes the one whose time is closest below the slack of the head', () => {
    expect(formBatch([waiting({ ...any, deadlineAt: 100 })], 0, rule)).toMatchObject({ replica: 'large' });
    expect(formBatch([waiting({ ...any, deadlineAt: 70 })], 0, rule)).toMatchObject({ replica: 'middle' });
    expect(formBatch([waiting({ ...any, deadlineAt: 7 })], 0, rule)).toEqual({ run: [0], drop: [] });
  });

  test('takes the larger of two batches that are about as close, not of any two', () => {
    const queue = Array.from({ length: 8 }, () =>
      waiting({ replica: 'large', alternatives: ['small'], deadlineAt: 100 }),
    );
    // At most three inputs on "large", in 96 ms; eight on "small".
    const withSmall = (smallMs: number): BatchRule => ({
      maxBatch: 8,
      serviceMs: (replica, size) => (replica === 'large' ? 48 + 16 * size : smallMs - 8 + size),
    });
    expect(formBatch(queue, 0, withSmall(90))).toMatchObject({ run: { length: 8 }, replica: 'small' });
    expect(formBatch(queue, 0, withSmall(80)).run).toHaveLength(3);
  });

  test('joins only those for whom it will do, too', () => {
    const queue = [waiting({ ...any, deadlineAt: 70 }), waiting({ replica: 'small' }), waiting(any)];
    expect(formBatch(queue, 0, rule)).toEqual({ run: [0, 2], drop: [], replica: 'middle' });
  });

  test('drops a request only when none would be on time', () => {
    const slow = { replica: 'large', alternatives: ['small'] };
    const queue = [waiting({ ...slow, deadlineAt: 3 }), waiting({ ...slow, deadlineAt: 1 })];
    expect(formBatch(queue, 0, rule)).toEqual({ run: [0], drop: [1], replica: 'small' });
  });
});

describe('waiting for a batch to fill', () => {
  const patient: BatchRule = { ...gaining, maxWaitMs: 100 };

  test('lasts as long as everybody is on time with one more, and no longer than asked for', () => {
    const queue = [waiting({ arrivedAt: 5, deadlineAt: 60 }), waiting({ arrivedAt: 8, deadlineAt: 70 })];
    expect(formBatch(queue, 10, patient)).toEqual({ run: [], drop: [], waitUntil: 60 - 13 });
    expect(formBatch(queue, 10, { ...patient, maxWaitMs: 20 })).toMatchObject({ waitUntil: 25 });
    expect(formBatch(queue, 25, { ...patient, maxWaitMs: 20 })).toEqual({ run: [0, 1], drop: [] });
  });

  test.each<[string, readonly Waiting[], Partial<BatchRule>]>([
    ['is off unless it is asked for', [waiting({ arrivedAt: 0 })], { maxWaitMs: 0 }],
    ['is not for a full batch', Array.from({ length: 4 }, () => waiting({ arrivedAt: 0 })), {}],
    ['is not while something else waits', [waiting({ arrivedAt: 0 }), waiting({ replica: 'other' })], {}],
    [
      'is not where the device gains nothing',
      [waiting({ arrivedAt: 0 })],
      { serviceMs: (_, size) => 10 * size },
    ],
    ['is not for what nobody has measured', [waiting({ arrivedAt: 0 })], { serviceMs: () => undefined }],
    ['is not for who does not say since when it waits', [waiting()], {}],
  ])('%s', (_, queue, rule) => {
    const plan = formBatch(queue, 0, { ...patient, ...rule });
    expect(plan.waitUntil).toBeUndefined();
    expect(plan.run.length).toBeGreaterThan(0);
  });
});

const REPLICAS = ['a', 'b', 'c'];

const entries = fc.array(
  fc.record({
    replica: fc.constantFrom(...REPLICAS),
    alternatives: fc.subarray(REPLICAS),
    size: fc.integer({ min: 1, max: 6 }),
    deadlineAt: fc.integer({ min: 0, max: 120 }),
    priority: fc.integer({ min: 0, max: 2 }),
    arrivedAt: fc.integer({ min: 0, max: 20 }),
  }),
  { maxLength: 24 },
);

const rules = fc
  .record({
    maxBatch: fc.integer({ min: 1, max: 12 }),
    base: fc.integer({ min: 0, max: 30 }),
    slope: fc.integer({ min: 0, max: 10 }),
    tail: fc.integer({ min: 0, max: 10 }),
    leastShare: fc.constantFrom(0, 0.5, 1, 2, undefined),
    maxWaitMs: fc.constantFrom(0, 30),
    passesOver: fc.boolean(),
  })
  .map(({ maxBatch, base, slope, tail, leastShare, maxWaitMs, passesOver }): BatchRule => {
    const serviceMs = (replica: string, size: number) =>
      (base + slope * size) * (1 + REPLICAS.indexOf(replica));
    return {
      maxBatch,
      maxWaitMs,
      passesOver,
      serviceMs,
      tailMs: (replica, size) => serviceMs(replica, size) + tail,
      ...(leastShare !== undefined && {
        leastServiceMs: (replica: string, size: number) => leastShare * serviceMs(replica, size),
      }),
    };
  });

const NOW = 20;

function replicasOf({ replica, alternatives = [] }: Waiting): readonly string[] {
  return [replica, ...alternatives];
}

/** Whether one of its replicas answers it in time, if it takes so long. */
function fits(entry: Waiting, timeMs: (replica: string, size: number) => number | undefined): boolean {
  return replicasOf(entry).some((replica) => NOW + (timeMs(replica, entry.size) ?? 0) <= entry.deadlineAt);
}

function mayBeOnTime(entry: Waiting, rule: BatchRule): boolean {
  return (
    entry.deadlineAt > NOW && fits(entry, (replica, size) => leastServiceMs(rule, replica, size) as number)
  );
}

describe('whatever waits', () => {
  test('each request runs, is dropped or waits; dropped is exactly what cannot be on time', () => {
    void fc.assert(
      fc.property(entries, rules, (queue, rule) => {
        const { run, drop } = formBatch(queue, NOW, rule);
        expect(new Set([...run, ...drop]).size).toBe(run.length + drop.length);
        const hopeless = queue.flatMap((entry, index) => (mayBeOnTime(entry, rule) ? [] : [index]));
        expect(drop).toEqual(hopeless);
        expect([...run, ...drop].every((index) => queue[index] !== undefined)).toBe(true);
        const isPromising = (index: number) => {
          const entry = queue[index] as Waiting;
          return entry.deadlineAt > NOW && fits(entry, rule.serviceMs);
        };
        expect(drop.some(isPromising)).toBe(false);
      }),
    );
  });

  test('something runs, or waits for a time to come, whenever something can be on time', () => {
    void fc.assert(
      fc.property(entries, rules, (queue, rule) => {
        const { run, waitUntil } = formBatch(queue, NOW, rule);
        const isAnyOnTime = queue.some((entry) => mayBeOnTime(entry, rule));
        expect(run.length > 0 || waitUntil !== undefined).toBe(isAnyOnTime);
        expect(waitUntil ?? Number.POSITIVE_INFINITY).toBeGreaterThan(NOW);
      }),
    );
  });

  test('a batch is within its bound, for its replica, and on time for all of its members', () => {
    void fc.assert(
      fc.property(entries, rules, (queue, rule) => {
        const { run, replica } = formBatch(queue, NOW, rule);
        const members = run.map((index) => queue[index] as Waiting);
        const [head] = members;
        if (head === undefined) return;
        const runsOn = replica ?? head.replica;
        const size = members.reduce((sum, member) => sum + member.size, 0);
        if (members.length > 1) expect(size).toBeLessThanOrEqual(rule.maxBatch);
        for (const member of members) {
          expect(replicasOf(member)).toContain(runsOn);
          // Who is late by the mean anyway has its best chance alone.
          if (!fits(head, rule.serviceMs)) expect(members).toHaveLength(1);
          else expect(NOW + (rule.serviceMs(runsOn, size) ?? 0)).toBeLessThanOrEqual(member.deadlineAt);
        }
      }),
    );
  });

  test('the order in which it stands there changes nothing but who is first of equals', () => {
    const shuffled = entries.chain((queue) => {
      const keys = fc.array(fc.nat(), { minLength: queue.length, maxLength: queue.length });
      return keys.map((order) => ({ queue, order }));
    });
    void fc.assert(
      fc.property(shuffled, rules, ({ queue, order }, rule) => {
        // Requests that differ in nothing that counts may take each other's place.
        const kinds = (from: readonly Waiting[], positions: readonly number[]) =>
          positions.map((position) => JSON.stringify(from[position])).sort();
        // Pairs of equals; everything else has a deadline of its own.
        const stood = queue.map((_, index) => {
          const pair = index - (index % 2);
          const entry = queue[pair] as Waiting;
          return { ...entry, deadlineAt: entry.deadlineAt + pair / 100 };
        });
        const other = stood
          .map((entry, index) => ({ entry, key: order[index] ?? 0 }))
          .sort((a, b) => a.key - b.key)
          .map(({ entry }) => entry);
        const [plan, again] = [formBatch(stood, NOW, rule), formBatch(other, NOW, rule)];
        expect(kinds(other, again.run)).toEqual(kinds(stood, plan.run));
        expect(kinds(other, again.drop)).toEqual(kinds(stood, plan.drop));
        expect(again.replica).toBe(plan.replica);
        expect(again.waitUntil).toBe(plan.waitUntil);
      }),
    );
  });

  test('a queue of 10,000 costs no more than a few comparisons for each of them', () => {
    let reads = 0;
    const queue = Array.from({ length: 10_000 }, (_, index): Waiting => {
      const deadlineAt = 1_000 + ((index * 7_919) % 10_000);
      return {
        ...waiting(),
        get deadlineAt() {
          reads += 1;
          return deadlineAt;
        },
      };
    });
    let asked = 0;
    const serviceMs = (_: string, size: number) => {
      asked += 1;
      return 10 + size;
    };
    expect(formBatch(queue, 0, { maxBatch: 32, serviceMs }).run).toHaveLength(32);
    expect(reads).toBeLessThan(12 * queue.length);
    expect(asked).toBeLessThan(100);
  });
});
