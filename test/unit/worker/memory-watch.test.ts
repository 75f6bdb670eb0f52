import { type MemoryReading, MemoryWatch } from '@nearfar/worker';
import fc from 'fast-check';
import { expect, test } from 'vitest';

/** A watch that reads these values one after another, the last one again and again. */
function watchOf(...readings: readonly (readonly [residentBytes: number, largestResidentBytes: number])[]) {
  let next = 0;
  return new MemoryWatch((): MemoryReading => {
    const [residentBytes, largestResidentBytes] = readings[Math.min(next, readings.length - 1)] ?? [0, 0];
    next += 1;
    return { residentBytes, largestResidentBytes };
  });
}

test('holds what the newest sample shows above the start', () => {
  const watch = watchOf([100, 500], [180, 500], [150, 500]);
  watch.sample();
  watch.sample();
  expect(watch.heldBytes).toBe(50);
});

test('takes the largest sample for the peak when the process has held more before', () => {
  const watch = watchOf([100, 500], [180, 500], [150, 500]);
  watch.sample();
  watch.sample();
  expect(watch.peakBytes).toBe(80);
});

test('takes the record of the process for the peak when it was set meanwhile, though no sample saw it', () => {
  const watch = watchOf([100, 500], [180, 700]);
  watch.sample();
  expect(watch.peakBytes).toBe(600);
});

test('never holds less than nothing, nor more than its peak', () => {
  const readings = fc.array(fc.tuple(fc.nat(1_000), fc.nat(1_000)), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(readings, (values) => {
      let largest = 0;
      const watch = watchOf(
        ...values.map(([residentBytes]): [number, number] => {
          largest = Math.max(largest, residentBytes);
          return [residentBytes, largest];
        }),
      );
      for (const _ of values.slice(1)) watch.sample();
      expect(watch.heldBytes).toBeGreaterThanOrEqual(0);
      expect(watch.peakBytes).toBeGreaterThanOrEqual(watch.heldBytes);
    }),
  );
});
