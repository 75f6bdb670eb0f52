import { batchSharePicoUsd, LoadView } from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const load = { backlogMs: 0, waiting: 0, running: 0, lastSequence: 0 };

describe('load view', () => {
  test('counts work that was dispatched since the report, and only that', () => {
    const view = new LoadView(2);
    view.reported({ ...load, backlogMs: 40, lastSequence: 3 }, 1_000);
    view.dispatched(4, 20, 1_000);
    expect(view.wait(1_000).meanMs).toBe(50);
    // What a report does not count yet has to be done after what it counts.
    view.reported({ ...load, backlogMs: 30, lastSequence: 3 }, 1_005);
    expect(view.wait(1_005).meanMs).toBe(40);
    view.reported({ ...load, backlogMs: 15, lastSequence: 4 }, 1_010);
    expect(view.wait(1_010).meanMs).toBe(15);
  });

  test('what was reported and what was dispatched drains as time passes', () => {
    const view = new LoadView(1);
    view.reported({ ...load, backlogMs: 40 }, 0);
    expect(view.wait(30).meanMs).toBe(10);
    view.dispatched(1, 5, 30);
    expect(view.wait(30).meanMs).toBe(15);
    expect(view.wait(100).meanMs).toBe(0);
    view.dispatched(2, 5, 100);
    expect([view.freeAtMs, view.wait(100).meanMs]).toEqual([105, 5]);
  });

  test('an older report than the newest known is ignored', () => {
    const view = new LoadView(1);
    view.reported({ ...load, backlogMs: 40, lastSequence: 9 }, 0);
    view.reported({ ...load, backlogMs: 0, lastSequence: 2 }, 1);
    expect(view.wait(0).meanMs).toBe(40);
  });

  test('a request with a priority waits only for what is as urgent', () => {
    const view = new LoadView(1);
    const ahead = [
      { priority: 2, backlogMs: 30 },
      { priority: 5, backlogMs: 60 },
    ];
    view.reported({ ...load, backlogMs: 100, runningMs: 10, ahead }, 0);
    const waits = (now: number) => [1, 2, 3, 5, 200, 0].map((priority) => view.wait(now, priority).meanMs);
    expect(waits(0)).toEqual([10, 30, 30, 60, 60, 100]);
    view.dispatched(1, 7, 0);
    view.dispatched(2, 4, 0, 3);
    expect(waits(0)).toEqual([10, 30, 34, 64, 64, 111]);
    expect(waits(50)).toEqual([0, 0, 0, 14, 14, 61]);
  });

  test('behind a worker that does not tell of priorities everything waits for everything', () => {
    const view = new LoadView(1);
    view.reported({ ...load, backlogMs: 100 }, 0);
    expect(view.wait(0, 1).meanMs).toBe(100);
  });

  test('the older the report, the wider the wait', () => {
    const view = new LoadView(1);
    view.reported({ ...load, backlogMs: 100_000 }, 0);
    const fresh = view.wait(100);
    const stale = view.wait(10_000);
    expect(Math.sqrt(stale.varianceMs2) / stale.meanMs).toBeGreaterThan(
      Math.sqrt(fresh.varianceMs2) / fresh.meanMs,
    );
  });
});

describe('cost', () => {
  test('shares of requests that tile a batch are whole and add up exactly', () => {
    void fc.assert(
      fc.property(
        fc.nat(1_000_000_000),
        fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 32 }),
        (total, sizes) => {
          const batchSize = sizes.reduce((sum, size) => sum + size, 0);
          let offset = 0;
          const shares = sizes.map((size) => {
            offset += size;
            return batchSharePicoUsd(total, { offset: offset - size, size, batchSize });
          });
          expect(shares.reduce((sum, share) => sum + share, 0)).toBe(total);
          expect(shares.every((share) => Number.isInteger(share) && share >= 0)).toBe(true);
        },
      ),
    );
  });

  test('a share is the part’s own, to within one unit', () => {
    const parts = [0, 1, 2].map((offset) => batchSharePicoUsd(10, { offset, size: 1, batchSize: 3 }));
    expect(parts).toEqual([3, 3, 4]);
    expect(batchSharePicoUsd(5, { offset: 0, size: 4, batchSize: 4 })).toBe(5);
  });

  test.each([
    [1.5, { offset: 0, size: 1, batchSize: 1 }],
    [-1, { offset: 0, size: 1, batchSize: 1 }],
    [1, { offset: 1, size: 1, batchSize: 1 }],
    [1, { offset: 0, size: 0, batchSize: 1 }],
  ])('refuses %d of %j', (total, part) => {
    expect(() => batchSharePicoUsd(total, part)).toThrow(RangeError);
  });
});
