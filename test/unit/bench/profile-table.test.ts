import { describe, expect, test } from 'vitest';
import { fillQuantiles, Profile, ProfileTable, quantileAt } from '../../../bench/src/profile-table.ts';
import { normalAt, STREAMS, uniformAt } from '../../../bench/src/random.ts';
import { profileRow } from './simulation.ts';

const QUANTILES = { p50Ms: 10, p90Ms: 20, p99Ms: 80 };

describe('a profile', () => {
  test.each([
    [0, 10],
    [1.2815515655446004, 20],
    [2.3263478740408408, 80],
    // Below the median as between it and p90, above p99 as between p90 and p99.
    [-1.2815515655446004, 5],
    [-9, 10 * 2 ** (-2.5 / 1.2815515655446004)],
    [9, 20 * 4 ** ((3.5 - 1.2815515655446004) / (2.3263478740408408 - 1.2815515655446004))],
  ])('takes at score %f what its quantiles say', (score, ms) => {
    expect(quantileAt(QUANTILES, score)).toBeCloseTo(ms, 9);
  });

  test.each([
    [{ p50Ms: 7 }, { p50Ms: 7, p90Ms: 7, p99Ms: 7 }],
    [{ p99Ms: 7 }, { p50Ms: 7, p90Ms: 7, p99Ms: 7 }],
    [QUANTILES, QUANTILES],
  ])('keeps what is known of %o', (given, filled) => {
    expect(fillQuantiles(given)).toEqual(filled);
  });

  test('has a missing quantile on the line through the two that are there', () => {
    const { p50Ms, p90Ms, p99Ms } = fillQuantiles({ p50Ms: 10, p99Ms: 40 });
    expect(Math.log(p90Ms / p50Ms) / Math.log(p99Ms / p50Ms)).toBeCloseTo(
      1.2815515655446 / 2.3263478740408,
      9,
    );
    expect(fillQuantiles({ p90Ms, p99Ms }).p50Ms).toBeCloseTo(10, 9);
    expect(fillQuantiles({ p50Ms, p90Ms }).p99Ms).toBeCloseTo(40, 9);
  });

  test('interpolates between batch sizes, and knows none beyond the largest', () => {
    const profile = new Profile([profileRow({ batch: 5, p50Ms: 30 }), profileRow({ p50Ms: 10 })]);
    expect([1, 2, 3, 4, 5].map((batch) => profile.service(batch).p50Ms)).toEqual([10, 15, 20, 25, 30]);
    expect(() => profile.service(6)).toThrow('1 to 5 inputs, got 6');
    expect(new Profile([profileRow({ batch: 4, p50Ms: 30 })]).service(1).p50Ms).toBe(30);
  });

  test('has the mean and variance of its draws', () => {
    const profile = new Profile([profileRow(QUANTILES)]);
    const count = 200_000;
    let sum = 0;
    let squares = 0;
    for (let index = 0; index < count; index += 1) {
      const ms = profile.timeMs(1, normalAt(1, STREAMS.service, index));
      sum += ms;
      squares += ms * ms;
    }
    const mean = sum / count;
    const { meanMs, varianceMs2 } = profile.moments(1);
    expect(mean / meanMs).toBeCloseTo(1, 2);
    expect((squares / count - mean * mean) / varianceMs2).toBeGreaterThan(0.9);
    expect((squares / count - mean * mean) / varianceMs2).toBeLessThan(1.1);
  });

  test('is found by task, variant and device class alone', () => {
    const table = new ProfileTable([
      profileRow(),
      profileRow({ variant: 'large' }),
      profileRow({ task: 'other' }),
    ]);
    expect(table.ofClass('digits', 'cpu').map(({ variant }) => variant)).toEqual(['small', 'large']);
    expect(table.find('digits', 'large', 'cpu')?.variant).toBe('large');
    expect(table.find('digits', 'large', 'gpu')).toBeUndefined();
    expect(table.ofClass('none', 'cpu')).toEqual([]);
  });
});

test('chance is even, and streams and seeds have nothing to do with each other', () => {
  const count = 50_000;
  const buckets = new Float64Array(64);
  let products = 0;
  for (let index = 0; index < count; index += 1) {
    const value = uniformAt(1, STREAMS.arrivals, index);
    buckets[Math.floor(value * 64)] = (buckets[Math.floor(value * 64)] ?? 0) + 1;
    products +=
      (value - 0.5) *
      (uniformAt(1, STREAMS.callers, index) -
        0.5 +
        uniformAt(2, STREAMS.arrivals, index) -
        0.5 +
        uniformAt(1, STREAMS.arrivals, index + 1) -
        0.5);
  }
  const chiSquare = buckets.reduce((sum, seen) => sum + (seen - count / 64) ** 2 / (count / 64), 0);
  // 63 degrees of freedom: 99.9 % lie below 103.4. The products have mean 0 and deviation 1/12 × √(3 n).
  expect(chiSquare).toBeLessThan(103.4);
  expect(Math.abs(products) / ((Math.sqrt(3 * count) / 12) * 1)).toBeLessThan(3.3);
});
