import {
  type CascadeCalibration,
  type CascadeSample,
  calibrateCascade,
  cascadeId,
  isConfident,
  MIN_CALIBRATION_SAMPLES,
  measureCascade,
  splitHalves,
} from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

/** `count` equal samples. */
function samples(
  count: number,
  confidence: number,
  isSmallRight: boolean,
  isLargeRight = true,
): CascadeSample[] {
  return Array.from({ length: count }, () => ({ confidence, isSmallRight, isLargeRight }));
}

/** The small stage is right on 60 sure inputs, on half of 20 less sure ones and on none of 20 unsure ones. */
const TYPICAL = [
  ...samples(60, 0.95, true),
  ...samples(10, 0.805, true),
  ...samples(10, 0.805, false),
  ...samples(20, 0.405, false),
];

describe('the gate', () => {
  test('lets the small answer stand from the threshold on', () => {
    expect(isConfident([0.1, 0.8, 0.1], 0.8)).toBe(true);
    expect(isConfident([0.1, 0.79, 0.11], 0.8)).toBe(false);
  });

  test('is closed without scores and for scores that are no numbers', () => {
    expect(isConfident([], 0)).toBe(false);
    expect(isConfident([0.9, Number.NaN], 0.5)).toBe(false);
  });
});

test('a cascade is named after its stages and its threshold', () => {
  expect(cascadeId({ small: 'tiny', large: 'large', threshold: 0.93 })).toBe('tiny..large.t93');
  // 0.57 × 100 is 56.99999999999999.
  expect(cascadeId({ small: 'tiny', large: 'large', threshold: 0.57 })).toBe('tiny..large.t57');
});

describe('halves', () => {
  test('hold every input once, the first half one more when the number is odd, the same at each call', () => {
    fc.assert(
      fc.property(fc.nat(500), (count) => {
        const inputs = Array.from({ length: count }, (_, index) => index);
        const { calibration, measurement } = splitHalves(inputs);
        expect([...calibration, ...measurement].sort((a, b) => a - b)).toEqual(inputs);
        expect(calibration.length - measurement.length).toBe(count % 2);
        expect(splitHalves(inputs)).toEqual({ calibration, measurement });
      }),
    );
  });

  test.each([2, 3, 4, 10, 16])('hold as many of each label when %d labels come in turn', (period) => {
    const labels = Array.from({ length: 10_000 }, (_, index) => index % period);
    const { calibration } = splitHalves(labels);
    for (let label = 0; label < period; label += 1) {
      const share = calibration.filter((entry) => entry === label).length / (10_000 / period);
      // Six standard deviations of a fair draw of 625 or more.
      expect(Math.abs(share - 0.5)).toBeLessThan(0.12);
    }
  });
});

describe('calibration', () => {
  const thresholdOf = (calibration: CascadeCalibration) =>
    calibration.kind === 'calibrated' ? calibration.threshold : calibration.reason;

  test.each([
    // Escalating what is below 0.41 leaves 10 wrong.
    [0.1, 0.41],
    [0.11, 0.41],
    [0.09, 0.81],
    [0, 0.81],
    [0.3, 'The small stage alone reaches the wished accuracy of 0.7000'],
  ])('for a drop of %d takes the least threshold that holds it: %s', (drop, threshold) => {
    expect(thresholdOf(calibrateCascade(TYPICAL, drop))).toBe(threshold);
  });

  test('says what the threshold does on the data that it was chosen on', () => {
    expect(calibrateCascade(TYPICAL, 0.1)).toEqual({
      kind: 'calibrated',
      threshold: 0.41,
      accuracy: 0.9,
      escalation: 0.2,
    });
  });

  test('skips a lower threshold that is only a lucky dip', () => {
    // Up to 0.30 nothing is escalated, and all is right but 1; between 0.31 and 0.60 the large stage makes it worse.
    const dip = [
      ...samples(94, 0.95, true),
      ...samples(1, 0.605, false),
      ...samples(5, 0.305, true, false),
      ...samples(5, 0.505, false, true),
    ];
    expect(thresholdOf(calibrateCascade(dip, 0.02))).toBe(0.51);
  });

  test('there is none when the small stage is wrong where it is sure', () => {
    const sure = [...samples(90, 0.9, true), ...samples(10, 1, false)];
    expect(calibrateCascade(sure, 0.05)).toEqual({
      kind: 'none',
      reason: expect.stringMatching(/^No threshold up to 1 reaches an accuracy of 0.9500/),
    });
  });

  test('there is none on a handful of inputs', () => {
    expect(calibrateCascade(samples(MIN_CALIBRATION_SAMPLES - 1, 0.5, true), 0.01)).toEqual({
      kind: 'none',
      reason: 'Expected at least 100 labelled inputs to choose the threshold on, got 99',
    });
  });

  test('holds the wished accuracy at its threshold and at every higher one, and at none that is one percent lower', () => {
    const sample = fc.record({
      // Sure small stages are more often right, as a model's are.
      confidence: fc.double({ min: 0.1, max: 1, noNaN: true }),
      isSmallRight: fc.boolean(),
      isLargeRight: fc.integer({ min: 0, max: 9 }).map((digit) => digit > 0),
    });
    const half = fc
      .array(sample, { minLength: MIN_CALIBRATION_SAMPLES, maxLength: 300 })
      .map((entries) =>
        entries.map((entry) => ({ ...entry, isSmallRight: entry.isSmallRight || entry.confidence > 0.6 })),
      );
    const drop = fc.double({ min: 0, max: 0.2, noNaN: true });
    fc.assert(
      fc.property(half, drop, (entries, maxAccuracyDrop) => {
        const calibration = calibrateCascade(entries, maxAccuracyDrop);
        if (calibration.kind === 'none') return;
        const large = entries.filter(({ isLargeRight }) => isLargeRight).length / entries.length;
        const accuracyAt = (threshold: number) => measureCascade(entries, threshold).accuracy.value;
        const percent = Math.round(calibration.threshold * 100);
        for (let at = percent; at <= 100; at += 1) {
          expect(accuracyAt(at / 100)).toBeGreaterThanOrEqual(large - maxAccuracyDrop - 1e-6);
        }
        expect(accuracyAt((percent - 1) / 100)).toBeLessThan(large - maxAccuracyDrop);
      }),
      { numRuns: 50 },
    );
  });
});

describe('measurement', () => {
  test('gives accuracy and escalation with their intervals, and what is lost against the large stage', () => {
    const { accuracy, escalation, drop } = measureCascade(TYPICAL, 0.41);
    expect(accuracy).toMatchObject({ value: 0.9, sampleSize: 100 });
    expect(accuracy.interval.low).toBeCloseTo(0.8256, 4);
    expect(escalation).toMatchObject({ value: 0.2, sampleSize: 100 });
    expect(escalation.interval.high).toBeCloseTo(0.2888, 4);
    expect(drop.value).toBe(0.1);
    expect(drop.low).toBeGreaterThan(0);
  });

  test('the drop is negative where the small stage knows what the large one does not', () => {
    expect(measureCascade([...samples(9, 0.9, true), ...samples(1, 0.9, true, false)], 0.5).drop.value).toBe(
      -0.1,
    );
  });

  test('a confidence of just the threshold is enough, for the accuracy and for the escalation', () => {
    const { accuracy, escalation } = measureCascade(samples(10, 0.8, true, false), 0.8);
    expect([accuracy.value, escalation.value]).toEqual([1, 0]);
  });

  test('at threshold 0 it is the small stage, above every confidence the large one', () => {
    expect(measureCascade(TYPICAL, 0)).toMatchObject({ accuracy: { value: 0.7 }, escalation: { value: 0 } });
    expect(measureCascade(TYPICAL, 1)).toMatchObject({
      accuracy: { value: 1 },
      escalation: { value: 1 },
      drop: { value: 0 },
    });
  });

  test('on nothing is a mistake', () => {
    expect(() => measureCascade([], 0.5)).toThrow(RangeError);
  });
});
