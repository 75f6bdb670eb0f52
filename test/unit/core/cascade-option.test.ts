import {
  type CascadeFacts,
  cascadeMeanMs,
  cascadeOption,
  cascadeOptions,
  cascadeProbability,
  cascadeQuantileMs,
  decide,
  type Option,
  onTimeProbability,
  quantileMs,
  sumMoments,
  totalLatency,
} from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { option, parts, spec, time } from './builders.ts';

const NAME = 'tiny..large.t90';

function facts(over: Partial<CascadeFacts> = {}): CascadeFacts {
  return {
    variant: NAME,
    revision: 1,
    accuracy: 0.95,
    escalationRate: 0.2,
    isSmall: ({ variant }) => variant === 'tiny',
    isLarge: ({ variant }) => variant === 'large',
    ...over,
  };
}

const tiny = (over: Partial<Option> = {}) =>
  option({ variant: 'tiny', model: 'tiny', accuracy: 0.9, costPicoUsd: 10, worstCostPicoUsd: 30, ...over });
const large = (over: Partial<Option> = {}) =>
  option({
    variant: 'large',
    model: 'large',
    accuracy: 0.96,
    costPicoUsd: 100,
    worstCostPicoUsd: 300,
    ...over,
  });
const taking = (meanMs: number, deviationMs = 0) => parts({ compute: time(meanMs, deviationMs) });
const ONE = { rows: 1, elapsedMs: 0 };

const anyTime = fc
  .record({
    meanMs: fc.double({ min: 0.1, max: 500, noNaN: true }),
    share: fc.double({ min: 0, max: 2, noNaN: true }),
  })
  .map(({ meanMs, share }) => time(meanMs, meanMs * share));
const anyRate = fc.double({ min: 0, max: 1, noNaN: true });
const anyPair = fc
  .record({ first: anyTime, second: anyTime, rate: anyRate })
  .map(({ first, second, rate }) =>
    cascadeOption(
      facts({ escalationRate: rate }),
      tiny({ parts: parts({ compute: first }) }),
      large({ parts: parts({ compute: second }) }),
      ONE,
    ),
  );
const anyDeadline = fc.double({ min: 0.1, max: 3_000, noNaN: true });

describe('the latency of a cascade', () => {
  test('is on time at least as often as both stages together, and at most as often as the small one', () => {
    fc.assert(
      fc.property(anyPair, anyDeadline, (pair, deadlineMs) => {
        const first = totalLatency(pair.parts);
        const both = sumMoments([first, totalLatency(pair.second?.option.parts ?? pair.parts)]);
        const small = onTimeProbability(first, deadlineMs);
        const probability = cascadeProbability(pair, deadlineMs);
        expect(probability).toBeLessThanOrEqual(small + 1e-12);
        expect(probability).toBeGreaterThanOrEqual(
          Math.min(small, onTimeProbability(both, deadlineMs)) - 1e-12,
        );
      }),
    );
  });

  test('is on time the more often the more time there is', () => {
    fc.assert(
      fc.property(anyPair, anyDeadline, anyDeadline, (pair, one, other) => {
        const [soon, late] = [Math.min(one, other), Math.max(one, other)];
        // The approximation of the normal CDF is exact to 1e-7.
        expect(cascadeProbability(pair, soon)).toBeLessThanOrEqual(cascadeProbability(pair, late) + 2e-7);
      }),
    );
  });

  test('has the quantile at which its probability reaches the share', () => {
    fc.assert(
      fc.property(anyPair, fc.double({ min: 0.5, max: 0.9999, noNaN: true }), (pair, quantile) => {
        const tailMs = cascadeQuantileMs(pair, quantile);
        expect(cascadeProbability(pair, tailMs * 1.001)).toBeGreaterThanOrEqual(quantile - 1e-6);
        expect(tailMs).toBeGreaterThanOrEqual(quantileMs(totalLatency(pair.parts), quantile) * (1 - 1e-6));
      }),
    );
  });

  test("is the small stage's when nothing goes on, and a plain option's is its own", () => {
    const small = tiny({ parts: taking(20, 8) });
    const never = cascadeOption(facts({ escalationRate: 0 }), small, large(), ONE);
    for (const same of [never, small]) {
      expect(cascadeProbability(same, 30)).toBe(onTimeProbability(totalLatency(small.parts), 30));
      expect(cascadeQuantileMs(same, 0.99)).toBe(quantileMs(totalLatency(small.parts), 0.99));
      expect(cascadeMeanMs(same)).toBe(20);
      expect(same.costPicoUsd).toBe(10);
    }
    expect(never.accuracy).toBe(0.95);
  });

  test('waits for the large stage at the tail, once more go on than may be late', () => {
    const pair = (escalationRate: number) =>
      cascadeOption(
        facts({ escalationRate }),
        tiny({ parts: taking(10) }),
        large({ parts: taking(90) }),
        ONE,
      );
    expect(cascadeQuantileMs(pair(0.2), 0.99)).toBeCloseTo(100, 3);
    expect(cascadeQuantileMs(pair(0.2), 0.7)).toBeCloseTo(10, 3);
    expect(cascadeProbability(pair(0.2), 50)).toBeCloseTo(0.8, 9);
  });

  test('of a large stage that never ends is without bound', () => {
    const lost = large({ parts: parts({ queue: time(Number.POSITIVE_INFINITY) }) });
    const pair = cascadeOption(facts(), tiny(), lost, ONE);
    expect(cascadeProbability(pair, 1e9)).toBeCloseTo(0.8, 9);
    expect(cascadeQuantileMs(pair, 0.99)).toBe(Number.POSITIVE_INFINITY);
  });

  test('is corrected as the more careful of its stages is', () => {
    const half = { probability: () => 0.5, quantileMs: () => 70, meanMs: () => 20 };
    const sure = { probability: () => 1, quantileMs: () => 10, meanMs: () => 5 };
    const pair = cascadeOption(facts(), tiny({ calibration: sure }), large({ calibration: half }), ONE);
    expect(cascadeProbability(pair, 50)).toBeCloseTo(0.8 + 0.2 * 0.5, 9);
  });
});

describe('the option of a cascade', () => {
  test('costs the small stage and the share of the large one, at worst both', () => {
    const pair = cascadeOption(facts(), tiny({ pricePicoUsd: 5 }), large({ pricePicoUsd: 50 }), ONE);
    expect(pair).toMatchObject({
      variant: NAME,
      model: NAME,
      accuracy: 0.95,
      costPicoUsd: 10 + 20,
      pricePicoUsd: 5 + 10,
      worstCostPicoUsd: 330,
    });
  });

  test('of a batch goes on when one of its inputs does, and pays for those that do', () => {
    const pair = cascadeOption(facts(), tiny(), large(), { rows: 4 });
    expect(pair.second?.rate).toBeCloseTo(1 - 0.8 ** 4, 9);
    expect(pair.costPicoUsd).toBe(30);
  });

  test('counts the way to the mesh once when that runs both stages, twice when the page runs the small one', () => {
    const way = parts({ network: time(40), compute: time(5) });
    const mean = (tier: 'browser' | 'edge') =>
      cascadeMeanMs(
        cascadeOption(
          facts({ escalationRate: 1 }),
          tiny({ tier, parts: tier === 'edge' ? way : taking(5) }),
          large({ parts: way }),
          { rows: 1, network: time(40) },
        ),
      );
    expect(mean('edge')).toBe(50);
    expect(mean('browser')).toBe(50);
  });

  test('is blocked by what blocks either stage, and says which', () => {
    const blocked = large({ blockers: [{ code: 'queue-full', message: 'full' }] });
    const [pair] = cascadeOptions(spec(), [tiny(), blocked], [facts()], ONE);
    expect(pair?.blockers).toEqual([{ code: 'queue-full', message: 'Its large stage: full' }]);
  });

  test('needs a stage that another variant dominates all the same', () => {
    const dominated = tiny({ blockers: [{ code: 'dominated', message: 'another is better' }] });
    const [pair] = cascadeOptions(spec(), [dominated, large()], [facts()], ONE);
    expect(pair?.blockers).toEqual([]);
  });
});

describe('the places of a cascade', () => {
  const pairOf = (found: readonly Option[]) =>
    found.map(({ worker, second }) => [worker, second?.option.worker]);

  test('are the cheapest that are predicted to be on time', () => {
    const options = [
      tiny({ worker: 'cheap', costPicoUsd: 1, parts: taking(80, 1) }),
      tiny({ worker: 'fast', costPicoUsd: 9, parts: taking(5, 1) }),
      large({ worker: 'cheap', costPicoUsd: 10, parts: taking(90, 1) }),
      large({ worker: 'fast', costPicoUsd: 90, parts: taking(10, 1) }),
    ];
    const at = (slo_ms: number) => pairOf(cascadeOptions(spec({ slo_ms }), options, [facts()], ONE));
    expect(at(500)).toEqual([['cheap', 'cheap']]);
    // The fast large stage is 18 dearer for one request, the fast small one 8.
    expect(at(100)).toEqual([['fast', 'cheap']]);
    expect(at(30)).toEqual([['fast', 'fast']]);
  });

  test('are the likeliest to be on time where none is', () => {
    const options = [
      tiny({ worker: 'slow', costPicoUsd: 1, parts: taking(80, 10) }),
      tiny({ worker: 'quick', costPicoUsd: 9, parts: taking(30, 10) }),
      large({ parts: taking(90, 10) }),
    ];
    expect(pairOf(cascadeOptions(spec({ slo_ms: 50 }), options, [facts()], ONE))).toEqual([
      ['quick', 'edge-1'],
    ]);
  });

  test('keep the request where its payload may go', () => {
    const options = [
      tiny({ tier: 'browser', worker: 'page' }),
      large({ tier: 'pool', worker: 'pool', costPicoUsd: 1 }),
      large({ tier: 'edge', worker: 'edge', costPicoUsd: 100 }),
    ];
    const of = (privacy: 'any' | 'no_pool') =>
      pairOf(cascadeOptions(spec({ privacy }), options, [facts()], ONE));
    expect(of('any')).toEqual([['page', 'pool']]);
    expect(of('no_pool')).toEqual([['page', 'edge']]);
  });

  test('are listed although they may not be used, where there are no others', () => {
    const options = [tiny({ tier: 'browser', worker: 'page' }), large({ tier: 'pool', worker: 'pool' })];
    const request = spec({ privacy: 'local_only' });
    const cascades = cascadeOptions(request, options, [facts()], ONE);
    expect(pairOf(cascades)).toEqual([['page', 'pool']]);
    expect(decide(request, cascades).choice.kind).toBe('refused');
  });

  test('never have the small stage on the mesh and the large one in the page, which the mesh cannot ask', () => {
    const dearPage = { tier: 'browser', worker: 'page', costPicoUsd: 1 } as const;
    const pairs = cascadeOptions(spec(), [tiny(), large(dearPage)], [facts()], ONE);
    expect(pairs).toEqual([]);
    const [pair] = cascadeOptions(spec(), [tiny(), large(dearPage), large()], [facts()], ONE);
    expect(pair?.second?.option.tier).toBe('edge');
  });

  test('are none when nobody has a stage', () => {
    expect(cascadeOptions(spec(), [tiny()], [facts()], ONE)).toEqual([]);
    expect(cascadeOptions(spec(), [], [facts()], ONE)).toEqual([]);
  });

  const anyStage = fc
    .record({
      isLarge: fc.boolean(),
      tier: fc.constantFrom('browser' as const, 'edge' as const, 'pool' as const),
      worker: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
      costPicoUsd: fc.integer({ min: 0, max: 5 }),
      meanMs: fc.integer({ min: 1, max: 100 }),
      deviationMs: fc.integer({ min: 0, max: 20 }),
    })
    .map(({ isLarge, meanMs, deviationMs, ...rest }) =>
      (isLarge ? large : tiny)({ ...rest, parts: taking(meanMs, deviationMs) }),
    );
  const anyStages = fc.uniqueArray(anyStage, {
    maxLength: 24,
    selector: ({ variant, tier, worker }) => `${variant}${tier}${worker}`,
  });

  test('do not depend on the order of the options', () => {
    fc.assert(
      fc.property(
        anyStages,
        fc.integer({ min: 1, max: 300 }),
        fc.infiniteStream(fc.nat()),
        (options, sloMs, keys) => {
          const shuffled = options
            .map((value) => ({ value, key: keys.next().value ?? 0 }))
            .sort((a, b) => a.key - b.key)
            .map(({ value }) => value);
          const request = spec({ slo_ms: sloMs });
          const one = cascadeOptions(request, options, [facts()], ONE);
          expect(pairOf(cascadeOptions(request, shuffled, [facts()], ONE))).toEqual(pairOf(one));
        },
      ),
    );
  });

  test('of one class of worker are as cheap as those of all pairs, and feasible when any pair is', () => {
    fc.assert(
      fc.property(anyStages, fc.integer({ min: 1, max: 300 }), (options, sloMs) => {
        // Each stage with one spread: then the faster of two places is so at every deadline.
        const even = options.map((entry) => ({ ...entry, parts: taking(totalLatency(entry.parts).meanMs) }));
        const request = spec({ slo_ms: sloMs, slo_target: 0.99 });
        const pairs = even
          .filter(({ variant }) => variant === 'tiny')
          .flatMap((small) =>
            even
              .filter(
                ({ variant, tier }) =>
                  variant === 'large' && (small.tier === 'browser' || tier !== 'browser'),
              )
              .map((other) => cascadeOption(facts(), small, other, ONE)),
          );
        const [found] = cascadeOptions(request, even, [facts()], ONE);
        const best = decide(request, pairs).choice;
        const choice = decide(request, found === undefined ? [] : [found]).choice;
        expect(choice.kind).toBe(best.kind);
        if (best.kind === 'meets-slo' && choice.kind === 'meets-slo') {
          expect(choice.chosen.option.costPicoUsd).toBe(best.chosen.option.costPicoUsd);
        }
      }),
    );
  });
});
