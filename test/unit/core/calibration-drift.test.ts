import { describe, expect, test } from 'vitest';
import { measureDrift } from '../../../bench/src/drift/measure.ts';
import { runDrift } from '../../../bench/src/drift/run.ts';

/*
 * The drift schedule: speed × 0.5 and × 3, a profile wrong by 2 × either way, a slowed worker, interference, and each
 * time back. With independent requests and the true quantiles, the share below the 95 % in a window of 2,000 would have a
 * standard deviation of 0.49 points, so one window in fifty would be below 94 %. That every window holds rests on the
 * feedback of the quantile tracking.
 */
describe.each([1, 2, 3, 4, 5])('over the drift schedule with seed %i', (seed) => {
  const report = measureDrift(runDrift(seed));

  test('the promised 95 % holds in every window of 2,000 requests from 300 after a change', () => {
    expect(report.settled.least95).toBeGreaterThanOrEqual(0.94);
    expect(report.settled.most95).toBeLessThanOrEqual(0.965);
  });

  test('the promised 99 % holds in every window of 2,000 requests from 300 after a change', () => {
    expect(report.settled.least99).toBeGreaterThanOrEqual(0.983);
    expect(report.settled.most99).toBeLessThanOrEqual(0.997);
  });

  test('the mean quantile loss, changes included, is within 15 % of an oracle that knows the distribution', () => {
    expect(report.pinballRatio).toBeLessThanOrEqual(1.15);
    // Nobody beats it by more than what chance and its own table's error give.
    expect(report.pinballRatio).toBeGreaterThan(1);
  });

  test('it has recovered from each change', () => {
    expect(report.recoverRequests).toHaveLength(10);
    expect(Math.max(...report.recoverRequests)).toBeLessThan(500);
  });
});

test('without calibration the same promises break', () => {
  const report = measureDrift(runDrift(1, { isCalibrated: false }));
  expect(report.settled.least95).toBeLessThan(0.5);
  expect(report.pinballRatio).toBeGreaterThan(1.5);
});

test('a tenth of the requests cut off at random changes nothing about what the promises are worth', () => {
  const report = measureDrift(runDrift(1, { censoredShare: 0.1 }));
  expect(report.settled.least95).toBeGreaterThanOrEqual(0.94);
  expect(report.settled.most95).toBeLessThanOrEqual(0.965);
  expect(report.settled.least99).toBeGreaterThanOrEqual(0.983);
  expect(report.settled.most99).toBeLessThanOrEqual(0.997);
});
