import {
  decide,
  HEDGE_QUANTILE,
  HedgeBudget,
  hedgeChoice,
  hedgeDelayMs,
  type Option,
  quantileMs,
  resolveSpec,
  totalLatency,
  ZERO,
} from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

function option(over: Partial<Option> = {}): Option {
  return {
    variant: 'tiny',
    revision: 1,
    model: 'tiny',
    tier: 'pool',
    worker: 'w',
    deviceClass: 'cpu',
    accuracy: 0.9,
    parts: { network: ZERO, queue: ZERO, compute: { meanMs: 20, varianceMs2: 100 }, load: ZERO },
    costPicoUsd: 1,
    worstCostPicoUsd: 3,
    blockers: [],
    ...over,
  };
}

describe('when a request is hedged', () => {
  test('after the quantile of its own prediction', () => {
    const placed = option();
    expect(hedgeDelayMs(placed)).toBe(quantileMs(totalLatency(placed.parts), HEDGE_QUANTILE));
    expect(hedgeDelayMs(placed, 0.5)).toBeLessThan(hedgeDelayMs(placed) ?? 0);
  });

  test('after its calibrated quantile, where there is a calibration', () => {
    const calibration = { probability: () => 1, quantileMs: () => 77, meanMs: () => 50 };
    expect(hedgeDelayMs(option({ calibration }))).toBe(77);
  });

  test('not at once, however short the prediction', () => {
    const parts = { network: ZERO, queue: ZERO, compute: { meanMs: 0.1, varianceMs2: 0 }, load: ZERO };
    expect(hedgeDelayMs(option({ parts }))).toBe(2);
  });

  test('never as a whole cascade, nor without a bound', () => {
    const stage = option();
    expect(hedgeDelayMs(option({ second: { rate: 0.5, option: stage, first: stage } }))).toBeUndefined();
    const parts = { ...stage.parts, queue: { meanMs: Number.POSITIVE_INFINITY, varianceMs2: 0 } };
    expect(hedgeDelayMs(option({ parts }))).toBeUndefined();
  });
});

describe('where a request is hedged', () => {
  const chosen = (parameters: Parameters<typeof resolveSpec>[0], elapsedMs: number, ...options: Option[]) =>
    hedgeChoice(decide(resolveSpec(parameters, {}), options, elapsedMs))?.option.worker;

  test('on what would be chosen now', () => {
    expect(chosen({ slo_ms: 500 }, 100, option({ worker: 'dear', costPicoUsd: 9 }), option())).toBe('w');
  });

  test('nowhere, when that is more likely to be late', () => {
    expect(chosen({ slo_ms: 500 }, 478, option())).toBe('w');
    expect(chosen({ slo_ms: 500 }, 485, option())).toBeUndefined();
    expect(chosen({ slo_ms: 500 }, 501, option())).toBeUndefined();
  });

  test('nowhere that is below the target, when the caller wants that rejected', () => {
    expect(chosen({ slo_ms: 500, on_infeasible: 'reject' }, 478, option())).toBeUndefined();
  });

  test.each<[string, Parameters<typeof resolveSpec>[0]]>([
    ['above the cap of its cost', { max_cost_usd: 1e-12 }],
    ['that its privacy forbids', { privacy: 'no_pool' }],
    ['outside the caller’s device, when it is to stay there', { privacy: 'local_only' }],
    ['less accurate than demanded', { min_accuracy: 0.95 }],
  ])('nowhere %s', (_, parameters) => {
    expect(chosen({ slo_ms: 500, ...parameters }, 0, option())).toBeUndefined();
  });

  test('nowhere, when there is nothing else', () => {
    expect(chosen({ slo_ms: 500 }, 0)).toBeUndefined();
  });
});

describe('the budget of hedges', () => {
  test('is at most its share of the requests so far, and of any run of them that share and 200 requests’ more', () => {
    const shares = fc.constantFrom(0, 0.01, 0.05, 0.3, 1);
    // How many requests come before each hedge is asked for.
    const runs = fc.array(fc.nat(60), { maxLength: 200 });
    void fc.assert(
      fc.property(shares, runs, (share, gaps) => {
        const budget = new HedgeBudget(share);
        const hedgesAt: number[] = [];
        let requests = 0;
        for (const gap of gaps) {
          for (let index = 0; index < gap; index += 1) budget.earn();
          requests += gap;
          if (budget.take()) hedgesAt.push(requests);
          expect(hedgesAt.length).toBeLessThanOrEqual(share * requests + 1e-6);
        }
        for (const [index, at] of hedgesAt.entries()) {
          const within = requests - at;
          const bound = share * within + Math.max(1, share * 200);
          expect(hedgesAt.length - index).toBeLessThanOrEqual(bound + 1e-6);
        }
      }),
    );
  });

  test('gives one for every twenty requests by default', () => {
    const budget = new HedgeBudget();
    for (let request = 0; request < 19; request += 1) budget.earn();
    expect(budget.take()).toBe(false);
    budget.earn();
    expect([budget.take(), budget.take()]).toEqual([true, false]);
  });

  test('of 0 is closed', () => {
    const budget = new HedgeBudget(0);
    for (let request = 0; request < 1_000; request += 1) budget.earn();
    expect([budget.isOpen, budget.hasToken, budget.take()]).toEqual([false, false, false]);
  });

  test.each([-0.1, 1.1, Number.NaN])('refuses a share of %d', (share) => {
    expect(() => new HedgeBudget(share)).toThrow('Expected maxHedgeShare to be from 0 to 1');
  });
});
