import { TokenBuckets } from '@nearfar/core';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

describe('token buckets', () => {
  test('allow a burst, then the rate, and say how long to wait', () => {
    const buckets = new TokenBuckets({ ratePerSecond: 10, burst: 2 });
    expect(buckets.take('a', 0)).toBe(0);
    expect(buckets.take('a', 0)).toBe(0);
    expect(buckets.take('a', 0)).toBe(100);
    expect(buckets.take('a', 60)).toBeCloseTo(40);
    expect(buckets.take('a', 100)).toBe(0);
  });

  test('are each caller’s own', () => {
    const buckets = new TokenBuckets({ ratePerSecond: 1, burst: 1 });
    expect(buckets.take('a', 0)).toBe(0);
    expect(buckets.take('b', 0)).toBe(0);
    expect(buckets.take('a', 0)).toBeGreaterThan(0);
  });

  test('never allow more than the burst and what the time brings', () => {
    void fc.assert(
      fc.property(fc.array(fc.nat(500), { minLength: 1, maxLength: 200 }), (gaps) => {
        const rule = { ratePerSecond: 20, burst: 5 };
        const buckets = new TokenBuckets(rule);
        let now = 0;
        let taken = 0;
        for (const gap of gaps) {
          now += gap;
          if (buckets.take('a', now) === 0) taken += 1;
          expect(taken).toBeLessThanOrEqual(rule.burst + (now * rule.ratePerSecond) / 1_000 + 1e-6);
        }
      }),
    );
  });

  test.each([
    [{ ratePerSecond: 0, burst: 1 }],
    [{ ratePerSecond: 1, burst: 0 }],
    [{ ratePerSecond: Number.NaN, burst: 1 }],
  ])('refuse the rule %j', (rule) => {
    expect(() => new TokenBuckets(rule)).toThrow(RangeError);
  });
});
