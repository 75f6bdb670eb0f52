import { describe, expect, test } from 'vitest';
import { fitContention, slowdownCurve } from '../../../bench/src/fidelity/contention.ts';
import { fitToLive } from '../../../bench/src/fidelity/fit-to-live.ts';
import { simulateReplay } from '../../../bench/src/fidelity/simulated-replay.ts';
import { measuredMesh, planned } from './fidelity-builders.ts';

describe('slow-down curve', () => {
  test('leaves one computation as it is', () => {
    expect(slowdownCurve({ interference: 0.7, sharing: 1.2 }, 3)[0]).toBe(1);
  });

  test('without interference, four on two cores take twice as long as two', () => {
    expect(slowdownCurve({ interference: 0, sharing: 1 }, 4)).toEqual([1, 1, 1.5, 2]);
  });
});

describe('contention fit', () => {
  test('finds the least of a bowl between the points of its grid', () => {
    const fitted = fitContention(
      ({ interference, sharing }) => (interference - 0.41) ** 2 + (sharing - 1.13) ** 2,
    );
    expect(fitted.interference).toBeCloseTo(0.41, 1);
    expect(fitted.sharing).toBeCloseTo(1.13, 1);
  });

  test('never asks for negative contention', () => {
    const fitted = fitContention(({ interference, sharing }) => {
      expect(Math.min(interference, sharing)).toBeGreaterThanOrEqual(0);
      return interference + sharing;
    });
    expect(fitted.interference).toBe(0);
  });

  test('finds the contention that a history was made with, from other draws of its noise', () => {
    const measured = measuredMesh();
    const truth = { interference: 0.5, sharing: 1 };
    const made = simulateReplay(
      measured,
      planned({ perSecond: 55, seconds: 8 }),
      slowdownCurve(truth, 4),
      900,
    );
    const fitted = fitToLive(measured, { requests: made, stretches: [{ from: 0, to: made.length }] }, 1);
    const again = simulateReplay(measured, made, slowdownCurve(fitted, 4), 2);
    const meanOf = (latencies: readonly number[]) =>
      latencies.reduce((sum, value) => sum + value, 0) / latencies.length;
    const repeated = meanOf(again.map(({ latencyMs }) => latencyMs));
    expect(repeated / meanOf(made.map(({ latencyMs }) => latencyMs))).toBeGreaterThan(0.9);
    expect(repeated / meanOf(made.map(({ latencyMs }) => latencyMs))).toBeLessThan(1.1);
    expect(slowdownCurve(fitted, 4)[1]).toBeGreaterThan(1.2);
    expect(slowdownCurve(fitted, 4)[1]).toBeLessThan(1.9);
  });
});
