import {
  type ComparedProfile,
  type ComparedVariant,
  type Dominated,
  dominance,
  MIN_COMPARED_SAMPLES,
  paretoLines,
  SPEED_MARGIN,
  variantBytes,
} from '@nearfar/core';
import type { Prices } from '@nearfar/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const CPU = 'cpu:test';
const GPU = 'webgpu:test';

interface VariantFacts {
  readonly model?: string;
  readonly accuracy?: number;
  readonly sizeBytes?: number;
  readonly revision?: number;
  readonly cascade?: ComparedVariant['cascade'];
}

function variant(
  name: string,
  { model = name, accuracy = 0.9, sizeBytes = 1_000, revision = 1, cascade }: VariantFacts = {},
): ComparedVariant {
  return {
    variant: name,
    revision,
    model,
    format: cascade === undefined ? 'onnx' : 'cascade',
    accuracy: { value: accuracy, source: 'measured', sampleSize: 1_000 },
    artifacts: cascade === undefined ? [{ path: 'model.onnx', sha256: name, sizeBytes }] : [],
    outputs: [{ name: 'logits', datatype: 'FP32', shape: [-1, 10] }],
    ...(cascade === undefined ? {} : { cascade }),
  };
}

function profile(name: string, p50Ms: number, over: Partial<ComparedProfile> = {}): ComparedProfile {
  return {
    variant: name,
    revision: 1,
    deviceClass: CPU,
    batch: 1,
    samples: 100,
    p50Ms,
    p99Ms: p50Ms * 2,
    meanMs: p50Ms * 1.1,
    ...over,
  };
}

const pairs = (found: readonly Dominated[]) => found.map(({ variant: name, by }) => `${name} by ${by}`);

/** Which of two variants is dominated on a device where they take `times`. */
function between(
  a: VariantFacts,
  b: VariantFacts,
  times: readonly [number, number],
  maxAccuracyDrop = 0.01,
): string[] {
  return pairs(
    dominance(
      [variant('a', a), variant('b', b)],
      [profile('a', times[0]), profile('b', times[1])],
      maxAccuracyDrop,
    ),
  );
}

describe('dominance', () => {
  test.each<[string, VariantFacts, VariantFacts, [number, number], string[]]>([
    ['slower, not smaller and not more accurate', {}, {}, [10, 20], ['b by a']],
    ['slower but smaller', {}, { sizeBytes: 999 }, [10, 20], []],
    ['slower but more accurate', {}, { accuracy: 0.901 }, [10, 20], []],
    ['larger at the same speed', {}, { sizeBytes: 1_001 }, [10, 10], ['b by a']],
    ['less accurate at the same speed', {}, { accuracy: 0.899 }, [10, 10], ['b by a']],
    ['equal in all', {}, {}, [10, 10], []],
    ['slower by less than the margin', {}, {}, [10, 10.4], []],
    ['faster by less than the margin, but larger', {}, { sizeBytes: 2_000 }, [10.4, 10], ['b by a']],
    ['faster by more than the margin, but larger', {}, { sizeBytes: 2_000 }, [10.6, 10], []],
  ])('%s', (_, a, b, times, expected) => {
    expect(between(a, b, times)).toEqual(expected);
  });

  test('within one model an accuracy difference up to the accepted drop counts for nothing', () => {
    const exact = { model: 'tiny', accuracy: 0.91 };
    const quantised = { model: 'tiny', accuracy: 0.9 };
    expect(between(exact, quantised, [20, 10])).toEqual(['a by b']);
    expect(between(exact, quantised, [10, 20])).toEqual(['b by a']);
    expect(between(exact, quantised, [20, 10], 0.005)).toEqual([]);
    expect(between({ accuracy: 0.91 }, { accuracy: 0.9 }, [20, 10])).toEqual([]);
  });

  test('a cascade is not made from the model that it names', () => {
    const cascade = { small: 'a', large: 'large', threshold: 0.9 } as ComparedVariant['cascade'];
    expect(
      between({ model: 'm', accuracy: 0.895 }, { model: 'm', accuracy: 0.9, cascade }, [10, 20]),
    ).toEqual([]);
  });

  test('only figures with enough samples at the present revision and batch 1 count', () => {
    const variants = [variant('a'), variant('b')];
    const judged = (over: Partial<ComparedProfile>) =>
      pairs(dominance(variants, [profile('a', 10), profile('b', 20, over)], 0.01));
    expect(judged({ samples: MIN_COMPARED_SAMPLES })).toEqual(['b by a']);
    expect(judged({ samples: MIN_COMPARED_SAMPLES - 1 })).toEqual([]);
    expect(judged({ revision: 2 })).toEqual([]);
    expect(judged({ batch: 8 })).toEqual([]);
    expect(dominance(variants, [profile('a', 10)], 0.01)).toEqual([]);
  });

  test('holds for one device class and not for the next', () => {
    const profiles = [
      profile('int8', 20),
      profile('fp32', 10),
      profile('int8', 5, { deviceClass: GPU }),
      profile('fp32', 10, { deviceClass: GPU }),
    ];
    expect(dominance([variant('fp32'), variant('int8')], profiles, 0.01)).toEqual([
      { variant: 'fp32', deviceClass: GPU, by: 'int8' },
      { variant: 'int8', deviceClass: CPU, by: 'fp32' },
    ]);
  });

  test('names the fastest of several that dominate', () => {
    const variants = ['slow', 'fast', 'fastest'].map((name) => variant(name));
    const profiles = [profile('slow', 30), profile('fast', 20), profile('fastest', 10)];
    expect(pairs(dominance(variants, profiles, 0.01))).toEqual(['fast by fastest', 'slow by fastest']);
  });

  test('a ring of variants that beat each other within the margins leaves all of them', () => {
    // a beats b by speed, b beats c by accuracy at the same speed, c beats a by accuracy at the same speed.
    const variants = [
      variant('a', { model: 'one', accuracy: 0.9 }),
      variant('b', { model: 'one', accuracy: 0.905 }),
      variant('c', { model: 'two', accuracy: 0.902 }),
    ];
    const profiles = [profile('a', 10), profile('b', 10.6), profile('c', 10.2)];
    expect(dominance(variants, profiles, 0.01)).toEqual([]);
  });

  test('margins do not add up along a chain', () => {
    // Each is 4 % slower and smaller than the one before; the third is not as fast as the first.
    const variants = ['a', 'b', 'c'].map((name, index) => variant(name, { sizeBytes: 1_000 - index }));
    const profiles = [profile('a', 10), profile('b', 10.4), profile('c', 10.816)];
    expect(pairs(dominance(variants, profiles, 0.01))).toEqual(['b by c']);
  });

  test('each dominated variant names one that is left and as good; one is left on each class; order means nothing', () => {
    const facts = fc.record({
      model: fc.constantFrom('one', 'two'),
      accuracy: fc.integer({ min: 0, max: 6 }).map((step) => 0.9 + step / 250),
      sizeBytes: fc.constantFrom(1_000, 1_000, 2_000),
      p50Ms: fc.integer({ min: 0, max: 8 }).map((step) => 10 * 1.03 ** step),
      seed: fc.integer(),
    });
    fc.assert(
      fc.property(fc.array(facts, { minLength: 1, maxLength: 12 }), (entries) => {
        const variants = entries.map((entry, index) => variant(`v${index}`, entry));
        const profiles = entries.map(({ p50Ms }, index) => profile(`v${index}`, p50Ms));
        const found = dominance(variants, profiles, 0.01);
        const dominated = new Set(found.map((entry) => entry.variant));
        expect(dominated.size).toBe(found.length);
        expect(dominated.size).toBeLessThan(variants.length);
        for (const entry of found) {
          const index = (name: string) => Number(name.slice(1));
          const [loser, winner] = [entries[index(entry.variant)], entries[index(entry.by)]];
          if (loser === undefined || winner === undefined) throw new Error(`Unknown variant in ${entry}`);
          expect(dominated.has(entry.by)).toBe(false);
          expect(winner.p50Ms * (1 - SPEED_MARGIN)).toBeLessThanOrEqual(loser.p50Ms);
          expect(winner.sizeBytes).toBeLessThanOrEqual(loser.sizeBytes);
          const accepted = winner.model === loser.model ? 0.01 + 1e-9 : 0;
          expect(winner.accuracy).toBeGreaterThanOrEqual(loser.accuracy - accepted);
        }
        const shuffled = entries
          .map(({ seed }, index) => ({ seed, variant: variants[index] as ComparedVariant }))
          .sort((a, b) => a.seed - b.seed)
          .map((entry) => entry.variant);
        expect(dominance(shuffled, profiles.toReversed(), 0.01)).toEqual(found);
      }),
    );
  });
});

describe('bytes of a variant', () => {
  test('count each file once, and those of a cascade are its stages', () => {
    const cascade = { small: 'a', large: 'b', threshold: 0.9 } as NonNullable<ComparedVariant['cascade']>;
    const variants = [
      variant('a', { sizeBytes: 10 }),
      variant('b', { sizeBytes: 100 }),
      variant('c', { cascade }),
    ];
    expect(variants.map((entry) => variantBytes(entry, variants))).toEqual([10, 100, 110]);
    const shared = { sha256: 's', path: 'weights', sizeBytes: 5 };
    expect(variantBytes({ artifacts: [shared, { ...shared, path: 'again' }] }, [])).toBe(5);
  });
});

describe('Pareto lines', () => {
  const prices: Prices = {
    date: '2026-01-01',
    edge: { usdPerCpuHour: 3.6, source: 'test' },
    pool: { usdPerHour: { cuda: 36, webgpu: 36, cpu: 36 }, source: 'test' },
    egress: { answersUsdPerGb: 1, artifactsUsdPerGb: 1, source: 'test' },
    browser: { energyUsdPerHour: 0.36, expectedReuse: 100, source: 'test' },
  };
  const lines = paretoLines({
    variants: [variant('large', { sizeBytes: 1_000_000 }), variant('tiny', { accuracy: 0.8 })],
    profiles: [
      profile('tiny', 5, { deviceClass: GPU, meanMs: 10 }),
      profile('large', 20, { meanMs: 10 }),
      profile('tiny', 10),
    ],
    places: [
      { tier: 'edge', deviceClass: CPU, usdPerHour: 3.6 },
      { tier: 'edge', deviceClass: CPU, usdPerHour: 99 },
      { tier: 'pool', deviceClass: CPU, usdPerHour: 36 },
      { tier: 'browser', deviceClass: GPU },
    ],
    prices,
    maxAccuracyDrop: 0.01,
  });

  test('are in the order of the variants, with a cell for each device class that ran them', () => {
    expect(lines.map((line) => [line.variant, line.cells.map(({ deviceClass }) => deviceClass)])).toEqual([
      ['large', [CPU]],
      ['tiny', [CPU, GPU]],
    ]);
    expect(lines[0]).toMatchObject({ sizeBytes: 1_000_000, accuracy: { value: 0.9 } });
    expect(lines[0]?.cells[0]).toMatchObject({ p50Ms: 20, p99Ms: 40, samples: 100 });
  });

  test('cost a thousand mean times in each tier that has the device class, and the bytes on the way', () => {
    // 10 ms at 3.6 US$ an hour are 10 µ$; 40 bytes of answer at 1 US$ a GB are 0.04 µ$.
    expect(lines[0]?.cells[0]?.costs).toEqual([
      { tier: 'edge', usdPer1000: 0.010_04 },
      { tier: 'pool', usdPer1000: 0.100_04 },
    ]);
    // 10 ms at 0.36 US$ an hour, and 1,000 bytes of weights over 100 uses.
    expect(lines[1]?.cells[1]?.costs).toEqual([{ tier: 'browser', usdPer1000: 0.001_01 }]);
  });

  test('name the variant that dominates, and nothing where none does or nobody says the price', () => {
    const [slow] = paretoLines({
      variants: [variant('slow'), variant('fast')],
      profiles: [profile('slow', 20), profile('fast', 10)],
      places: [],
      prices,
      maxAccuracyDrop: 0.01,
    });
    expect(slow?.cells[0]).toMatchObject({ dominatedBy: 'fast', costs: [] });
    expect(lines.flatMap(({ cells }) => cells.map(({ dominatedBy }) => dominatedBy))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});
