import { MeshError } from '@nearfar/protocol';
import { describe, expect, test } from 'vitest';
import { Calibrations } from '../../../coordinator/src/calibrations.ts';
import { sampleVariant } from '../../support/coordinator/sample-task.ts';
import { ManualClock } from '../../support/worker/manual-clock.ts';
import { option, parts } from '../core/builders.ts';

const VARIANT = sampleVariant();
const PREDICTED = { meanMs: 20, varianceMs2: 16 };
const OPTION = option({ ...VARIANT, accuracy: 0.9, parts: parts({ compute: PREDICTED }) });
const PLACE = { tier: 'edge', deviceClass: OPTION.deviceClass } as const;

const curveOf = (calibrations: Calibrations) => calibrations.curves(VARIANT, PLACE)(OPTION.worker);

/** Requests one after another, each of which takes so long and then ends as `how` says. */
async function run(calibrations: Calibrations, clock: ManualClock, times: readonly number[], how = 'done') {
  for (const tookMs of times) {
    const watched = calibrations.watch(VARIANT, OPTION, async () => {
      await clock.advance(tookMs);
      if (how !== 'done') throw new MeshError('MESH_CANCELLED', how);
      return how;
    });
    await watched.catch((error: unknown) => expect(error).toBeInstanceOf(MeshError));
  }
}

/** As predicted, on average, with the predicted spread. */
function about(meanMs: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => meanMs * (0.8 + 0.4 * ((index * 0.618) % 1)));
}

test('a prediction is corrected by what the ones before took', async () => {
  const clock = new ManualClock();
  const calibrations = new Calibrations(clock);
  expect(curveOf(calibrations)).toBeUndefined();
  await run(calibrations, clock, about(60, 100));
  expect(curveOf(calibrations)?.meanMs(PREDICTED)).toBeGreaterThan(52);
  expect(curveOf(calibrations)?.meanMs(PREDICTED)).toBeLessThan(68);
});

test('the result and the error of a run are passed on', async () => {
  const calibrations = new Calibrations(new ManualClock());
  await expect(calibrations.watch(VARIANT, OPTION, async () => 7)).resolves.toBe(7);
  const error = new MeshError('MESH_WORKER_LOST', 'gone');
  await expect(calibrations.watch(VARIANT, OPTION, () => Promise.reject(error))).rejects.toBe(error);
});

describe('requests that were cut off', () => {
  test('late say that requests take longer', async () => {
    const clock = new ManualClock();
    const calibrations = new Calibrations(clock);
    await run(calibrations, clock, about(20, 100));
    const before = curveOf(calibrations)?.quantileMs(PREDICTED, 0.95) ?? 0;
    await run(calibrations, clock, about(60, 10), 'dropped');
    expect(curveOf(calibrations)?.quantileMs(PREDICTED, 0.95)).toBeGreaterThan(1.5 * before);
  });

  test('at once say nothing', async () => {
    const clock = new ManualClock();
    const calibrations = new Calibrations(clock);
    await run(calibrations, clock, about(20, 100));
    const before = curveOf(calibrations)?.quantileMs(PREDICTED, 0.95) ?? 0;
    await run(calibrations, clock, Array<number>(20).fill(0), 'refused');
    const after = curveOf(calibrations)?.quantileMs(PREDICTED, 0.95) ?? 0;
    expect(after / before).toBeGreaterThan(0.93);
    expect(after / before).toBeLessThan(1.07);
  });
});

test('promises are counted by level, once there is something that they rest on', async () => {
  const clock = new ManualClock();
  const calibrations = new Calibrations(clock);
  await run(calibrations, clock, about(20, 51));
  const [at95] = calibrations.counts;
  expect(at95).toMatchObject({ level: 0.95 });
  expect((at95?.kept ?? 0) + (at95?.broken ?? 0)).toBe(50);

  await run(calibrations, clock, [5_000]);
  await run(calibrations, clock, [1], 'cancelled before its time was up');
  await run(calibrations, clock, [90_000], 'dropped after it');
  const [after95, after99] = calibrations.counts;
  expect(after95).toEqual({ level: 0.95, kept: at95?.kept, broken: (at95?.broken ?? 0) + 2 });
  expect((after99?.kept ?? 0) + (after99?.broken ?? 0)).toBe(52);
});

test('what was learnt of a revision goes with it', async () => {
  const clock = new ManualClock();
  const calibrations = new Calibrations(clock);
  await run(calibrations, clock, about(5, 200));
  expect(curveOf(calibrations)?.quantileMs(PREDICTED, 0.95)).toBeLessThan(10);
  calibrations.forget(VARIANT);
  expect(curveOf(calibrations)).toBeUndefined();
});
