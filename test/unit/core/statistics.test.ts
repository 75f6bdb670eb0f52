import { pairedDifference, wilsonInterval } from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

describe('Wilson interval', () => {
  // The examples of Newcombe (Statistics in Medicine 17, 1998, table I, method 3).
  test.each([
    [81, 263, 0.2553, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [0, 20, 0, 0.1611],
    [1, 29, 0.0061, 0.1718],
  ])('of %d in %d is %d to %d', (successes, total, low, high) => {
    const interval = wilsonInterval(successes, total);
    expect(interval.low).toBeCloseTo(low, 4);
    expect(interval.high).toBeCloseTo(high, 4);
  });

  test('says nothing without trials', () => {
    expect(wilsonInterval(0, 0)).toEqual({ low: 0, high: 1 });
  });

  test('lies in 0..1 around the observed share, and is symmetric in success and failure', () => {
    const counts = fc
      .nat(100_000)
      .chain((total) => fc.tuple(fc.integer({ min: 0, max: total }), fc.constant(total)))
      .filter(([, total]) => total > 0);
    fc.assert(
      fc.property(counts, ([successes, total]) => {
        const { low, high } = wilsonInterval(successes, total);
        const mirrored = wilsonInterval(total - successes, total);
        expect(low).toBeGreaterThanOrEqual(0);
        expect(high).toBeLessThanOrEqual(1);
        expect(low).toBeLessThanOrEqual(successes / total);
        expect(high).toBeGreaterThanOrEqual(successes / total);
        expect(high).toBeGreaterThan(low);
        expect(mirrored.low).toBeCloseTo(1 - high, 9);
      }),
    );
  });

  test.each([
    [2, 1],
    [-1, 1],
    [0.5, 1],
    [0, Number.NaN],
  ])('of %d in %d is a mistake', (successes, total) => {
    expect(() => wilsonInterval(successes, total)).toThrow(RangeError);
  });
});

describe('paired difference', () => {
  test('is the adjusted Wald interval of Agresti & Min', () => {
    // The approval ratings of Agresti (Categorical Data Analysis, table 10.1): 794, 150, 86, 570. Adjusted: 64 / 1602 and
    // √((150.5 + 86.5) − 64² / 1602) / 1602 = 0.0095576.
    const { value, low, high } = pairedDifference({
      both: 794,
      onlyFirst: 150,
      onlySecond: 86,
      neither: 570,
    });
    expect(value).toBe(0.04);
    expect(low).toBeCloseTo(0.0212, 4);
    expect(high).toBeCloseTo(0.0587, 4);
  });

  test('says nothing without inputs', () => {
    const nothing = { both: 0, onlyFirst: 0, onlySecond: 0, neither: 0 };
    expect(pairedDifference(nothing)).toEqual({ value: 0, low: -1, high: 1 });
  });

  test('variants that always agree still leave doubt, less with more inputs', () => {
    const few = pairedDifference({ both: 10, onlyFirst: 0, onlySecond: 0, neither: 0 });
    const many = pairedDifference({ both: 10_000, onlyFirst: 0, onlySecond: 0, neither: 0 });
    expect(few.high).toBeGreaterThan(0.1);
    expect(many.high).toBeLessThan(0.0005);
    expect(many.high).toBeGreaterThan(0);
  });

  test('contains the difference, lies in −1..1 and turns around when the variants change places', () => {
    const cell = fc.oneof(fc.nat(3), fc.nat(10_000));
    fc.assert(
      fc.property(cell, cell, cell, cell, (both, onlyFirst, onlySecond, neither) => {
        const { value, low, high } = pairedDifference({ both, onlyFirst, onlySecond, neither });
        const turned = pairedDifference({ both, onlyFirst: onlySecond, onlySecond: onlyFirst, neither });
        expect(low).toBeGreaterThanOrEqual(-1);
        expect(high).toBeLessThanOrEqual(1);
        expect(value).toBeGreaterThanOrEqual(low);
        expect(value).toBeLessThanOrEqual(high);
        expect(turned.value).toBeCloseTo(-value, 12);
        expect(turned.low).toBeCloseTo(-high, 12);
      }),
    );
  });

  test('a negative count is a mistake', () => {
    const counts = { both: 1, onlyFirst: -1, onlySecond: 0, neither: 0 };
    expect(() => pairedDifference(counts)).toThrow('Expected onlyFirst to be a whole number from 0, got -1');
  });
});
