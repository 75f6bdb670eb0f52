import { DRIFT_FACTOR, DRIFT_WINDOW, LiveSketch } from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

/** A sketch after `measured` times of `measuredMs`. */
function measuredSketch(measured: number, measuredMs: number): LiveSketch {
  const times = new LiveSketch();
  for (let index = 0; index < measured; index++) times.addMeasured(measuredMs);
  return times;
}

/** Adds live times; gives after how many of them the former ones ceased to count, each time. */
function addLive(times: LiveSketch, count: number, valueMs: (index: number) => number): number[] {
  const drifts: number[] = [];
  for (let index = 0; index < count; index++) if (times.addLive(valueMs(index))) drifts.push(index + 1);
  return drifts;
}

describe('times that follow the device', () => {
  test('a device that got twice as slow is known by its newest times alone', () => {
    const times = measuredSketch(1_000, 10);
    expect(addLive(times, DRIFT_WINDOW, () => 20)).toEqual([DRIFT_WINDOW]);
    expect(times.sketch.count).toBe(DRIFT_WINDOW);
    expect(times.sketch.moments()?.meanMs).toBeCloseTo(20);
  });

  test('one that got twice as fast too', () => {
    const times = measuredSketch(1_000, 10);
    expect(addLive(times, DRIFT_WINDOW, () => 5)).toEqual([DRIFT_WINDOW]);
    expect(times.sketch.quantile(0.99)).toBeCloseTo(5, 0);
  });

  test('few measured times are replaced as well, though the live ones outnumber them', () => {
    const times = measuredSketch(10, 10);
    addLive(times, DRIFT_WINDOW, () => 40);
    expect(times.sketch.moments()?.meanMs).toBeCloseTo(40);
  });

  test('times within the factor only add up', () => {
    const times = measuredSketch(100, 10);
    expect(addLive(times, 200, () => 14)).toEqual([]);
    expect(times.sketch.count).toBe(300);
  });

  test('fewer live times than the window say nothing', () => {
    const times = measuredSketch(10, 10);
    expect(addLive(times, DRIFT_WINDOW - 1, () => 1_000)).toEqual([]);
    expect(times.sketch.count).toBe(10 + DRIFT_WINDOW - 1);
  });

  test('single slow runs are no drift', () => {
    const times = measuredSketch(30, 10);
    expect(addLive(times, 400, (index) => (index % 3 === 0 ? 500 : 10))).toEqual([]);
  });

  test('after a drift the newest times are what the next ones are compared with', () => {
    const times = measuredSketch(100, 10);
    expect(addLive(times, 200, () => 20)).toEqual([DRIFT_WINDOW]);
    expect(times.sketch.count).toBe(200);
    // The first window in which the new times are the majority drifts, and the next ones until the old times have left it.
    const drifts = addLive(times, 200, () => 10);
    expect(drifts[0]).toBeGreaterThan(DRIFT_WINDOW / 2);
    expect(drifts.at(-1)).toBeLessThanOrEqual(2 * DRIFT_WINDOW);
    expect(times.sketch.moments()?.meanMs).toBeCloseTo(10);
  });

  test('without anything measured before there is nothing to drift from', () => {
    const times = new LiveSketch();
    expect(addLive(times, DRIFT_WINDOW, () => 5)).toEqual([]);
    expect(times.sketch.count).toBe(DRIFT_WINDOW);
  });

  test('live times that stay near what was measured never replace it, whatever their order', () => {
    const near = fc.double({ min: 10 / DRIFT_FACTOR + 0.2, max: 10 * DRIFT_FACTOR - 0.3, noNaN: true });
    fc.assert(
      fc.property(fc.array(near, { maxLength: 300 }), (live) => {
        // Far more of them than live ones can come after, so that the middle stays where it is.
        const times = measuredSketch(1_000, 10);
        for (const valueMs of live) expect(times.addLive(valueMs)).toBe(false);
        expect(times.sketch.count).toBe(1_000 + live.length);
      }),
    );
  });

  test('no time is lost or counted twice between two drifts', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0.1, max: 1_000, noNaN: true }), { maxLength: 400 }), (live) => {
        const times = measuredSketch(20, 10);
        let expected = 20;
        for (const valueMs of live) expected = times.addLive(valueMs) ? DRIFT_WINDOW : expected + 1;
        expect(times.sketch.count).toBe(expected);
      }),
    );
  });
});
