import { type ClassUse, missesPerBusyMs, NO_PRICES, PriceTracker, priceOf } from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const use = (over: Partial<ClassUse> = {}): ClassUse => ({
  tier: 'pool',
  deviceClass: 'cuda:test',
  slots: 4,
  utilisation: 0.5,
  serviceMs: 10,
  slackMs: 50,
  ...over,
});

const price = (tracker: PriceTracker) => priceOf(tracker.table, 'pool', 'cuda:test');

describe('prices', () => {
  test('nothing has a price that no table names', () => {
    expect(priceOf(NO_PRICES, 'edge', 'cpu:test')).toBe(0);
  });

  test('rise while a class is busier than its target, and fall to nothing when it is not any more', () => {
    const tracker = new PriceTracker({ missPicoUsd: 0 });
    expect(tracker.table).toBe(NO_PRICES);
    tracker.observe([use({ utilisation: 0.9 })], 1);
    const first = price(tracker);
    tracker.observe([use({ utilisation: 0.9 })], 1);
    expect(price(tracker)).toBeCloseTo(2 * first, 0);
    for (let second = 0; second < 10; second += 1) tracker.observe([use({ utilisation: 0.5 })], 1);
    expect(tracker.table.prices).toEqual([]);
  });

  test('rise before a class is full by what more work would make others miss', () => {
    const tracker = new PriceTracker();
    tracker.observe([use({ utilisation: 0.3 })], 1);
    const quiet = price(tracker);
    for (let second = 0; second < 60; second += 1) tracker.observe([use({ utilisation: 0.75 })], 1);
    expect(price(tracker)).toBeGreaterThan(10 * quiet);
    expect(price(tracker)).toBeGreaterThan(0);
  });

  test('take one busy second for chance: it counts for a tenth of what it says of misses', () => {
    const steady = new PriceTracker({ picoUsdPerMsPerSecond: 0 });
    for (let second = 0; second < 100; second += 1) steady.observe([use({ utilisation: 0.75 })], 1);
    const chance = new PriceTracker({ picoUsdPerMsPerSecond: 0 });
    for (let second = 0; second < 100; second += 1) chance.observe([use({ utilisation: 0.3 })], 1);
    chance.observe([use({ utilisation: 0.75 })], 1);
    expect(price(chance)).toBeLessThan(0.1 * price(steady));
    // A second in which nothing was asked for says nothing of how long requests take.
    steady.observe([use({ utilisation: 0.75, serviceMs: 0, slackMs: 0 })], 1);
    expect(price(steady)).toBeGreaterThan(0);
  });

  test('come on top of the plan’s, and stay when the plan changes its own', () => {
    const tracker = new PriceTracker({ missPicoUsd: 0 });
    tracker.setPlan([{ tier: 'pool', deviceClass: 'cuda:test', picoUsdPerMs: 700 }]);
    expect(price(tracker)).toBe(700);
    tracker.observe([use({ utilisation: 1 })], 1);
    expect(price(tracker)).toBe(10_700);
    tracker.setPlan([]);
    expect(price(tracker)).toBe(10_000);
  });

  test('of a class that nobody observes any more are only the plan’s', () => {
    const tracker = new PriceTracker();
    tracker.setPlan([{ tier: 'pool', deviceClass: 'cuda:test', picoUsdPerMs: 700 }]);
    tracker.observe([use({ utilisation: 1 })], 1);
    tracker.observe([], 1);
    expect(price(tracker)).toBe(700);
  });

  test('get another epoch with each change, and none without', () => {
    const tracker = new PriceTracker({ missPicoUsd: 0 });
    tracker.observe([use({ utilisation: 1 })], 1);
    const { table } = tracker;
    expect(table.epoch).toBe(1);
    tracker.observe([use({ utilisation: 0.8 })], 1);
    expect(tracker.table).toBe(table);
    tracker.observe([use({ utilisation: 0.7 })], 1);
    expect(tracker.table.epoch).toBe(2);
  });

  test('stay between nothing and the highest, whatever is measured', () => {
    const anyUse = fc.record({
      utilisation: fc.oneof(fc.double({ min: 0, max: 1e6 }), fc.constant(Number.NaN)),
      slots: fc.integer({ min: 1, max: 200 }),
      serviceMs: fc.double({ min: 0, max: 1e5, noNaN: true }),
      slackMs: fc.double({ min: -1e5, max: 1e5, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(anyUse, { maxLength: 20 }), (uses) => {
        const tracker = new PriceTracker({ mostPicoUsdPerMs: 5_000 });
        let { epoch } = tracker.table;
        for (const over of uses) {
          tracker.observe([use(over)], 1);
          expect(price(tracker)).toBeGreaterThanOrEqual(0);
          expect(price(tracker)).toBeLessThanOrEqual(5_000);
          expect(tracker.table.epoch).toBeGreaterThanOrEqual(epoch);
          epoch = tracker.table.epoch;
        }
      }),
    );
  });

  test.each([
    { targetUtilisation: 1 },
    { targetUtilisation: 0 },
    { missPicoUsd: -1 },
    { mostPicoUsdPerMs: Number.NaN },
  ])('a rule that makes no sense is refused: %j', (rule) => {
    expect(() => new PriceTracker(rule)).toThrow(RangeError);
  });
});

describe('misses by one more busy millisecond', () => {
  test('are those of a single server in closed form', () => {
    // M/M/1: P(wait > d) = a × e^(−(1 − a)d/s), so a ÷ s × P has the derivative (2a + a²d/s) ÷ s × e^(−(1 − a)d/s).
    const [a, s, d] = [0.6, 10, 40];
    const exact = ((2 * a + (a * a * d) / s) / s) * Math.exp((-(1 - a) * d) / s);
    expect(missesPerBusyMs(use({ slots: 1, utilisation: a, serviceMs: s, slackMs: d }))).toBeCloseTo(
      exact,
      3,
    );
  });

  test('grow with the load, and shrink with the slack and with the number of servers', () => {
    const share = fc.double({ min: 0.05, max: 0.7, noNaN: true });
    fc.assert(
      fc.property(share, fc.integer({ min: 1, max: 50 }), (utilisation, slots) => {
        const base = missesPerBusyMs(use({ utilisation, slots }));
        expect(missesPerBusyMs(use({ utilisation: utilisation + 0.05, slots }))).toBeGreaterThanOrEqual(base);
        expect(missesPerBusyMs(use({ utilisation, slots, slackMs: 80 }))).toBeLessThanOrEqual(base);
        expect(missesPerBusyMs(use({ utilisation, slots: 4 * slots }))).toBeLessThanOrEqual(base);
      }),
    );
  });
});
