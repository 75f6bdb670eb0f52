import { describe, expect, test } from 'vitest';
import { gapBetween, isWithin, summariseReplay } from '../../../bench/src/fidelity/compare.ts';
import { ended } from './fidelity-builders.ts';

describe('summary of a replay', () => {
  test('counts what failed as missed, and leaves it out of latencies and tiers', () => {
    const failed = ended({ tier: undefined, isOnTime: false, latencyMs: 5_000 });
    const summary = summariseReplay([
      ended({ latencyMs: 10 }),
      ended({ latencyMs: 30, tier: 'pool' }),
      failed,
    ]);
    expect(summary).toEqual({
      requests: 3,
      attainment: 2 / 3,
      meanMs: 20,
      tierShares: { browser: 0, edge: 0.5, pool: 0.5 },
    });
  });

  test('of nothing is zero everywhere', () => {
    const { attainment, meanMs, tierShares } = summariseReplay([]);
    expect([attainment, meanMs, ...Object.values(tierShares)]).toEqual([0, 0, 0, 0, 0]);
  });
});

describe('gap', () => {
  const live = summariseReplay([ended({ latencyMs: 20 }), ended({ latencyMs: 20, tier: 'browser' })]);

  test('of a replay to itself is none', () => {
    expect(gapBetween(live, live)).toEqual({ attainmentPoints: 0, meanLatency: 0, tierSharePoints: 0 });
  });

  test('is the share that the mean is off, too slow or too fast', () => {
    expect(gapBetween(live, { ...live, meanMs: 23 }).meanLatency).toBeCloseTo(0.15);
    expect(gapBetween(live, { ...live, meanMs: 17 }).meanLatency).toBeCloseTo(0.15);
  });

  test('is that of the tier that is farthest off', () => {
    const simulated = { ...live, tierShares: { browser: 0.44, edge: 0.46, pool: 0.1 } };
    expect(gapBetween(live, simulated).tierSharePoints).toBeCloseTo(10);
  });

  test.each([
    [{ attainmentPoints: 2, meanLatency: 0.15, tierSharePoints: 5 }, true],
    [{ attainmentPoints: 2.1, meanLatency: 0, tierSharePoints: 0 }, false],
    [{ attainmentPoints: 0, meanLatency: 0.16, tierSharePoints: 0 }, false],
    [{ attainmentPoints: 0, meanLatency: 0, tierSharePoints: 5.1 }, false],
  ])('%j is small enough: %s', (gap, expected) => {
    expect(isWithin(gap)).toBe(expected);
  });
});
