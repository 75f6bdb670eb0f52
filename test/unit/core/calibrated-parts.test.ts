import { Calibration, calibratedMoments, calibratedParts, quantileMs, totalLatency } from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parts, time } from './builders.ts';

const PREDICTED = time(20, 6);

function observed(actuals: readonly number[], predicted = PREDICTED): Calibration {
  const calibration = new Calibration();
  for (const actualMs of actuals) calibration.observe(predicted, actualMs);
  return calibration;
}

const actuals = fc.array(fc.double({ min: 1, max: 500, noNaN: true }), { maxLength: 80 });

describe('a calibrated latency as moments', () => {
  test('is what it was before anything was observed', () => {
    const { meanMs, varianceMs2 } = calibratedMoments(new Calibration(), PREDICTED);
    expect(meanMs).toBe(20);
    expect(varianceMs2).toBeCloseTo(36, 6);
  });

  test('has the calibrated mean, and no quantile below a calibrated one that it can reach', () => {
    fc.assert(
      fc.property(actuals, (seen) => {
        const calibration = observed(seen);
        const moments = calibratedMoments(calibration, PREDICTED);
        expect(moments.meanMs).toBe(calibration.meanMs(PREDICTED));
        for (const [level, score] of [
          [0.95, 1.645],
          [0.99, 2.326],
        ] as const) {
          // No log-normal time of this mean has a quantile above mean × e^(score² ÷ 2).
          const most = moments.meanMs * Math.exp((score * score) / 2);
          const wanted = Math.min(calibration.quantileMs(PREDICTED, level), most);
          const scale = Math.sqrt(Math.log1p(moments.varianceMs2 / moments.meanMs ** 2));
          if (scale > score) continue;
          expect(quantileMs(moments, level)).toBeGreaterThanOrEqual(wanted * 0.999);
        }
      }),
    );
  });

  test.each([
    ['none', time(0)],
    ['endless', { meanMs: Number.POSITIVE_INFINITY, varianceMs2: 0 }],
  ])('stays %s', (_, predicted) => {
    expect(calibratedMoments(observed([90, 100]), predicted)).toEqual(predicted);
  });
});

describe('calibrated parts', () => {
  test('add up to the calibrated latency, each stretched alike', () => {
    const predicted = parts({ network: time(5, 1), queue: time(10, 5), compute: time(20, 4) });
    const calibration = observed(Array<number>(200).fill(70), totalLatency(predicted));
    const corrected = calibratedParts(predicted, calibration);
    const total = totalLatency(corrected);
    const moments = calibratedMoments(calibration, totalLatency(predicted));
    expect(total.meanMs).toBeCloseTo(moments.meanMs, 6);
    expect(total.varianceMs2).toBeCloseTo(moments.varianceMs2, 6);
    expect(corrected.queue.meanMs / corrected.network.meanMs).toBeCloseTo(2, 6);
    expect(total.meanMs).toBeGreaterThan(60);
  });

  test('share out the variance by their means where none was predicted', () => {
    const predicted = parts({ network: time(5), compute: time(15) });
    const actual = Array.from({ length: 200 }, (_, index) => 10 + (index % 21));
    const corrected = calibratedParts(predicted, observed(actual, totalLatency(predicted)));
    expect(corrected.compute.varianceMs2).toBeGreaterThan(1);
    expect(corrected.compute.varianceMs2 / corrected.network.varianceMs2).toBeCloseTo(3, 6);
    expect(corrected.load).toEqual(time(0));
  });

  test('of nothing are nothing', () => {
    const nothing = parts({ compute: time(0) });
    expect(calibratedParts(nothing, observed([90, 100]))).toEqual(nothing);
  });
});
