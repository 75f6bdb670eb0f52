import { normalCdf, normalQuantile, onTimeProbability, quantileMs, sumMoments } from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { time } from './builders.ts';

describe('latency distribution', () => {
  test.each([
    [0, 0.5],
    [1, 0.8413447],
    [1.959964, 0.975],
    [-2.326348, 0.01],
    [3, 0.9986501],
  ])('the normal CDF at %f is %f', (x, expected) => {
    expect(normalCdf(x)).toBeCloseTo(expected, 6);
  });

  test('quantile and probability are inverse to each other', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.1, max: 1_000, noNaN: true }),
        fc.double({ min: 0.01, max: 2, noNaN: true }),
        fc.double({ min: 0.01, max: 0.999, noNaN: true }),
        (meanMs, variation, share) => {
          const latency = time(meanMs, meanMs * variation);
          expect(onTimeProbability(latency, quantileMs(latency, share))).toBeCloseTo(share, 5);
        },
      ),
    );
  });

  test('the log-normal has the moments that it was made from', () => {
    const latency = time(40, 15);
    const steps = 20_000;
    let sum = 0;
    for (let step = 0; step < steps; step += 1) sum += quantileMs(latency, (step + 0.5) / steps);
    expect(sum / steps).toBeCloseTo(40, 1);
  });

  test('a certain time is met or not', () => {
    expect(onTimeProbability(time(10), 10)).toBe(1);
    expect(onTimeProbability(time(10), 9.999)).toBe(0);
    expect(onTimeProbability(time(10, 3), 0)).toBe(0);
  });

  test('means and variances of independent parts add', () => {
    expect(sumMoments([time(3, 2), time(4, 1)])).toEqual({ meanMs: 7, varianceMs2: 5 });
  });

  test('the normal quantile is the inverse of the CDF in the tails', () => {
    for (const share of [0.0001, 0.001, 0.5, 0.99, 0.9999])
      expect(normalCdf(normalQuantile(share))).toBeCloseTo(share, 6);
  });
});
