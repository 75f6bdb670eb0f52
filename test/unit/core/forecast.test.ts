import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Forecaster } from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareToLastValue } from '../../../bench/src/benches/forecast.ts';

function having(counts: readonly number[]): Forecaster {
  const forecaster = new Forecaster();
  for (const count of counts) forecaster.observe(count);
  return forecaster;
}

describe('a forecaster', () => {
  test('forecasts nothing before the first count, and the first count after it', () => {
    expect(new Forecaster().at(10)).toEqual({ mean: 0, deviation: 0 });
    expect(new Forecaster().quantile(10, 0.9)).toBe(0);
    expect(having([40]).at(1).mean).toBe(40);
  });

  test('follows a steady stream, whose counts it takes to vary like those of independent requests', () => {
    const { mean, deviation } = having(Array(200).fill(100)).at(1);
    expect(mean).toBeCloseTo(100, 6);
    expect(deviation).toBeCloseTo(10, 6);
  });

  test('goes on with a trend for a while, not for ever', () => {
    const forecaster = having(Array.from({ length: 300 }, (_, index) => 100 + index));
    expect(forecaster.at(10).mean).toBeGreaterThan(forecaster.at(1).mean);
    expect(forecaster.at(1_000).mean).toBeCloseTo(forecaster.at(100).mean, 1);
  });

  test('knows less of what is further away, and more of a quiet stream than of a noisy one', () => {
    const noisy = having(Array.from({ length: 200 }, (_, index) => (index % 2 === 0 ? 50 : 150)));
    const quiet = having(Array(200).fill(100));
    expect(noisy.at(30).deviation).toBeGreaterThan(noisy.at(1).deviation);
    expect(noisy.at(1).deviation).toBeGreaterThan(quiet.at(1).deviation);
  });

  test('forgets a burst', () => {
    const forecaster = having([...Array(100).fill(10), ...Array(5).fill(1_000), ...Array(100).fill(10)]);
    expect(forecaster.at(1).mean).toBeCloseTo(10, 0);
  });

  test('gives finite quantiles from 0 that grow with the probability, whatever was counted', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { maxLength: 60 }),
        fc.integer({ min: 1, max: 120 }),
        (counts, horizon) => {
          const forecaster = having(counts);
          const quantiles = [0.1, 0.5, 0.9, 0.99].map((level) => forecaster.quantile(horizon, level));
          expect(quantiles.every((value) => value >= 0 && Number.isFinite(value))).toBe(true);
          expect(quantiles).toEqual([...quantiles].sort((a, b) => a - b));
        },
      ),
    );
  });

  test.each([-1, Number.NaN, Number.POSITIVE_INFINITY])('refuses the count %s', (count) => {
    expect(() => new Forecaster().observe(count)).toThrow(RangeError);
  });

  test('refuses shares beyond 0 to 1, and horizons that are no number of intervals', () => {
    expect(() => new Forecaster({ level: 1.5 })).toThrow(/level/);
    expect(() => new Forecaster().at(0)).toThrow(/horizon/);
    expect(() => new Forecaster().at(1.5)).toThrow(/horizon/);
  });

  test('the variance at a horizon is the one that simulated streams have', () => {
    // ETS(A,Ad,N) written out: the error of a forecast is a sum of the later errors, whose weights the formula adds up.
    const rule = { level: 0.3, trend: 0.1, damping: 0.8, variance: 0 };
    const weight = (step: number) =>
      rule.level +
      rule.trend * Array.from({ length: step }, (_, k) => rule.damping ** (k + 1)).reduce((a, b) => a + b, 0);
    for (const horizon of [1, 2, 5, 30]) {
      let factor = 1;
      for (let step = 1; step < horizon; step += 1) factor += weight(step) ** 2;
      const forecaster = new Forecaster(rule);
      forecaster.observe(1_000_000);
      forecaster.observe(1_000_000);
      expect(forecaster.at(horizon).deviation ** 2 / 1_000_000).toBeCloseTo(factor, 6);
    }
  });
});

const TRACE = fileURLToPath(
  new URL('../../../../shared/data/traces/twitter_2021-08_day1_rps.csv', import.meta.url),
);
const isHere = existsSync(TRACE);

describe.skipIf(!isHere)('on the Twitter day (skipped where ../shared/data/traces is absent)', () => {
  const counts = isHere
    ? readFileSync(TRACE, 'utf8')
        .trim()
        .split('\n')
        .slice(1)
        .map((line) => Number(line.split(',')[1]))
    : [];

  test.each([10, 30])('has less error than the last value, %i s ahead', (horizon) => {
    const ratios = compareToLastValue(counts, horizon);
    expect(ratios.mae).toBeLessThan(0.82);
    expect(ratios.pinball_50).toBeLessThan(0.82);
    expect(ratios.pinball_90).toBeLessThan(0.5);
    expect(ratios.coverage_90).toBeGreaterThan(0.88);
    expect(ratios.coverage_90).toBeLessThan(0.95);
  });
});
