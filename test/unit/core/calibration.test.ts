import {
  CALIBRATION_LEVELS,
  Calibration,
  type CalibrationData,
  certain,
  MIN_CALIBRATION_REQUESTS,
  normalQuantile,
  onTimeProbability,
  quantileMs,
} from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createUniform, STREAMS } from '../../../bench/src/random.ts';
import { time } from './builders.ts';

const PREDICTED = time(20, 6);
/** By how many spreads the quantile at 0.95 is moved. */
const STEP_95 = 0.3;

/** Latencies of a log-normal distribution with the predicted spread, `factor` times as long as predicted. */
function latencies(seed: number, factor = 1): () => number {
  const random = createUniform(seed, STREAMS.drift);
  return () => factor * quantileMs(PREDICTED, Math.min(1 - 1e-9, Math.max(1e-9, random())));
}

function observed(count: number, next: () => number, calibration = new Calibration()): Calibration {
  for (let index = 0; index < count; index += 1) calibration.observe(PREDICTED, next());
  return calibration;
}

const moments = fc.record({
  meanMs: fc.double({ min: 0.01, max: 10_000, noNaN: true }),
  varianceMs2: fc.double({ min: 0, max: 1e8, noNaN: true }),
});
const observations = fc.array(
  fc.record({
    predicted: moments,
    actualMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
    isCensored: fc.boolean(),
  }),
  { maxLength: 100 },
);

describe('before anything was observed', () => {
  test('predictions are taken as they are', () => {
    const calibration = new Calibration();
    fc.assert(
      fc.property(moments, fc.double({ min: -10, max: 1e5, noNaN: true }), (predicted, deadlineMs) => {
        expect(calibration.probability(predicted, deadlineMs)).toBe(onTimeProbability(predicted, deadlineMs));
        expect(calibration.quantileMs(predicted, 0.95)).toBe(quantileMs(predicted, 0.95));
        expect(calibration.meanMs(predicted)).toBe(predicted.meanMs);
      }),
    );
  });
});

describe('whatever was observed', () => {
  test('probability rises with the deadline, the quantile with its level, and one undoes the other', () => {
    fc.assert(
      fc.property(observations, moments, (seen, predicted) => {
        const calibration = new Calibration();
        for (const entry of seen) calibration.observe(entry.predicted, entry.actualMs, entry.isCensored);
        let before = 0;
        for (const level of [0.01, 0.2, 0.5, 0.7, 0.9, 0.93, 0.95, 0.97, 0.99, 0.995, 0.999, 0.9999]) {
          const limitMs = calibration.quantileMs(predicted, level);
          expect(limitMs).toBeGreaterThanOrEqual(before);
          before = limitMs;
          // A time that is certain, and one that would not fit into a number, have no level to come back to.
          if (predicted.varianceMs2 === 0 || !(limitMs > 1e-200 && limitMs < 1e200)) continue;
          if (calibration.samples < MIN_CALIBRATION_REQUESTS) {
            expect(calibration.probability(predicted, limitMs * 1.000001)).toBeGreaterThanOrEqual(
              level - 1e-3,
            );
          } else {
            expect(calibration.probability(predicted, limitMs)).toBeCloseTo(level, 3);
          }
        }
      }),
    );
  });

  test('it never gives what is no number', () => {
    fc.assert(
      fc.property(observations, moments, (seen, predicted) => {
        const calibration = new Calibration();
        for (const entry of seen) calibration.observe(entry.predicted, entry.actualMs, entry.isCensored);
        expect(calibration.meanMs(predicted)).toBeGreaterThan(0);
        const probability = calibration.probability(predicted, predicted.meanMs);
        expect(probability).toBeGreaterThanOrEqual(0);
        expect(probability).toBeLessThanOrEqual(1);
      }),
    );
  });

  test('its data, sent and read again, promise the same', () => {
    fc.assert(
      fc.property(observations, moments, (seen, predicted) => {
        const calibration = new Calibration();
        for (const entry of seen) calibration.observe(entry.predicted, entry.actualMs, entry.isCensored);
        const text = JSON.stringify(calibration.toData());
        const copy = Calibration.fromData(JSON.parse(text) as CalibrationData);
        for (const level of CALIBRATION_LEVELS) {
          expect(copy.quantileMs(predicted, level)).toBeCloseTo(calibration.quantileMs(predicted, level), 9);
        }
      }),
    );
  });

  test('the share of promises that broke is the promised one but for the move of the quantile, for any latencies', () => {
    const anything = fc.array(fc.double({ min: 0.1, max: 1_000, noNaN: true }), { maxLength: 400 });
    fc.assert(
      fc.property(anything, (actuals) => {
        const calibration = observed(100, latencies(3));
        const start = calibration.toData().quantiles[2] ?? 0;
        let broken = 0;
        for (const actualMs of actuals) {
          if (actualMs > calibration.quantileMs(PREDICTED, 0.95)) broken += 1;
          calibration.observe(PREDICTED, actualMs);
        }
        const rise = (calibration.toData().quantiles[2] ?? 0) - start;
        expect(broken - 0.05 * actuals.length).toBeCloseTo(rise / STEP_95, 6);
      }),
    );
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])('an actual of %d changes nothing', (actualMs) => {
    const calibration = new Calibration();
    expect(calibration.observe(PREDICTED, actualMs)).toBeUndefined();
    expect(calibration.samples).toBe(0);
  });

  test('a prediction of nothing, or without end, is left alone', () => {
    const calibration = observed(100, latencies(1, 3));
    expect(calibration.observe(certain(0), 5)).toBeUndefined();
    expect(calibration.samples).toBe(100);
    expect(calibration.quantileMs(certain(0), 0.95)).toBe(0);
    expect(calibration.probability(certain(0), 1)).toBe(1);
    const endless = { meanMs: Number.POSITIVE_INFINITY, varianceMs2: 0 };
    expect(calibration.quantileMs(endless, 0.95)).toBe(Number.POSITIVE_INFINITY);
    expect(calibration.probability(endless, 1e9)).toBe(0);
  });

  test('a deadline that has passed is missed', () => {
    const calibration = observed(100, latencies(1));
    expect(calibration.probability(PREDICTED, 0)).toBe(0);
    expect(calibration.probability(PREDICTED, -5)).toBe(0);
  });
});

describe('few observations', () => {
  test('never make a prediction more hopeful, however fast the requests were', () => {
    const calibration = new Calibration();
    for (let count = 0; count < MIN_CALIBRATION_REQUESTS - 1; count += 1) {
      calibration.observe(PREDICTED, 1);
      expect(calibration.quantileMs(PREDICTED, 0.95)).toBeGreaterThanOrEqual(quantileMs(PREDICTED, 0.95));
      expect(calibration.probability(PREDICTED, 25)).toBeLessThanOrEqual(onTimeProbability(PREDICTED, 25));
    }
    for (let count = 0; count < 10; count += 1) calibration.observe(PREDICTED, 1);
    expect(calibration.quantileMs(PREDICTED, 0.95)).toBeLessThan(quantileMs(PREDICTED, 0.95) / 2);
  });

  test('make it wider when they come as predicted', () => {
    const median = quantileMs(PREDICTED, 0.5);
    const calibration = observed(3, () => median);
    expect(calibration.quantileMs(PREDICTED, 0.99)).toBeGreaterThanOrEqual(quantileMs(PREDICTED, 0.99));
    expect(calibration.probability(PREDICTED, 30)).toBeLessThanOrEqual(onTimeProbability(PREDICTED, 30));
  });
});

describe('many observations', () => {
  test.each([
    ['right already', 1],
    ['twice too fast', 2],
    ['three times too slow', 1 / 3],
    ['ten times too fast', 10],
  ])('correct a prediction that is %s', (_, factor) => {
    const calibration = observed(4_000, latencies(7, factor));
    expect(Math.abs(calibration.meanMs(PREDICTED) / (20 * factor) - 1)).toBeLessThan(0.1);
    for (const level of [0.9, 0.95, 0.99]) {
      const truth = quantileMs(PREDICTED, level) * factor;
      expect(Math.abs(calibration.quantileMs(PREDICTED, level) / truth - 1)).toBeLessThan(0.2);
    }
  });

  test('make a prediction certain no more that was not', () => {
    const calibration = new Calibration();
    const next = latencies(11);
    for (let index = 0; index < 500; index += 1) calibration.observe(certain(20), next());
    expect(calibration.probability(certain(20), 20.5)).toBeLessThan(0.8);
    expect(calibration.quantileMs(certain(20), 0.95)).toBeGreaterThan(25);
  });

  test('carry over to predictions of another length', () => {
    const calibration = observed(2_000, latencies(5, 2));
    const longer = time(200, 60);
    expect(calibration.quantileMs(longer, 0.95) / (2 * quantileMs(longer, 0.95))).toBeCloseTo(1, 0);
  });

  test('are not thrown over by one outlier', () => {
    const calibration = observed(1_000, latencies(13));
    const before = calibration.meanMs(PREDICTED);
    calibration.observe(PREDICTED, 20_000);
    expect(calibration.meanMs(PREDICTED) / before).toBeCloseTo(1, 1);
  });
});

describe('after a sudden change', () => {
  test.each([
    ['three times as long', 3, 10],
    ['twice as long', 2, 15],
    ['half as long', 0.5, 15],
    ['a third as long', 1 / 3, 10],
  ])(
    'to %s the mean is right within 25 % after so many requests, four times of five',
    (_, factor, within) => {
      let right = 0;
      const runs = 50;
      for (let run = 0; run < runs; run += 1) {
        const calibration = observed(1_000, latencies(2 * run));
        observed(within, latencies(2 * run + 1, factor), calibration);
        if (Math.abs(calibration.meanMs(PREDICTED) / (20 * factor) - 1) < 0.25) right += 1;
      }
      expect(right).toBeGreaterThanOrEqual(0.8 * runs);
    },
  );
});

describe('observations that were cut off', () => {
  /** What share of latencies stays below the promised 95 %, when some are cut off at random moments. */
  function coverage(take: (calibration: Calibration, actualMs: number, cutMs: number) => void): number {
    const calibration = new Calibration();
    const next = latencies(23);
    const random = createUniform(29, STREAMS.drift);
    let held = 0;
    const counted = 20_000;
    for (let index = -2_000; index < counted; index += 1) {
      const actualMs = next();
      if (index >= 0 && actualMs <= calibration.quantileMs(PREDICTED, 0.95)) held += 1;
      take(calibration, actualMs, random() < 0.5 ? 5 + 30 * random() : Number.POSITIVE_INFINITY);
    }
    return held / counted;
  }

  test('count for what they tell, and leave the promise what it was', () => {
    const share = coverage((calibration, actualMs, cutMs) =>
      calibration.observe(PREDICTED, Math.min(actualMs, cutMs), actualMs > cutMs),
    );
    expect(share).toBeGreaterThan(0.945);
    expect(share).toBeLessThan(0.955);
  });

  test('could not be left out', () => {
    const share = coverage((calibration, actualMs, cutMs) => {
      if (actualMs <= cutMs) calibration.observe(PREDICTED, actualMs);
    });
    expect(share).toBeLessThan(0.94);
  });

  test('could not be taken for finished', () => {
    const share = coverage((calibration, actualMs, cutMs) =>
      calibration.observe(PREDICTED, Math.min(actualMs, cutMs)),
    );
    expect(share).toBeLessThan(0.94);
  });

  test('above every quantile raise all of them as a finished one does', () => {
    const finished = observed(100, latencies(31));
    const cut = observed(100, latencies(31));
    finished.observe(PREDICTED, 500);
    cut.observe(PREDICTED, 500, true);
    expect(cut.toData().quantiles).toEqual(finished.toData().quantiles);
  });

  test('at once tell nothing', () => {
    const calibration = observed(500, latencies(37));
    const before = calibration.toData();
    for (let index = 0; index < 100; index += 1) calibration.observe(PREDICTED, 0.001, true);
    const after = calibration.toData();
    for (const [index, quantile] of after.quantiles.entries()) {
      expect(quantile).toBeCloseTo(before.quantiles[index] ?? 0, 2);
    }
    expect(after.shift).toBeCloseTo(before.shift, 1);
  });
});

test('what was promised is counted by the quantile as it was then', () => {
  const calibration = observed(200, latencies(47));
  const promised = calibration.promise();
  const other = Calibration.fromData(calibration.toData());
  // It would be within the quantile by now, and was above the one that was promised.
  for (let index = 0; index < 3; index += 1) {
    calibration.observe(PREDICTED, 10_000);
    other.observe(PREDICTED, 10_000);
  }
  const { quantiles, shift, spread } = calibration.toData();
  const above = ((promised[2] ?? 0) + (quantiles[2] ?? 0)) / 2;
  const logVariance = Math.log1p(36 / 400);
  const location = Math.log(20) - logVariance / 2 + shift;
  const actualMs = Math.exp(
    location + above * spread * Math.sqrt(logVariance) * Math.sqrt(1 + 1 / calibration.toData().weight),
  );
  calibration.observe(PREDICTED, actualMs, false, undefined, promised);
  other.observe(PREDICTED, actualMs);
  expect(calibration.toData().quantiles[2]).toBeGreaterThan(quantiles[2] ?? 0);
  expect(other.toData().quantiles[2]).toBeLessThan(quantiles[2] ?? 0);
});

test('the levels rise and their normal scores are finite', () => {
  const scores = CALIBRATION_LEVELS.map(normalQuantile);
  expect([...scores].sort((a, b) => a - b)).toEqual(scores);
  expect(scores.every(Number.isFinite)).toBe(true);
});
