import { resolveSpec } from '@nearfar/core';
import type { Parameters } from '@nearfar/protocol';
import { describe, expect, test } from 'vitest';
import { DemandBook, MAX_STREAMS } from '../../../coordinator/src/planning/demand-book.ts';
import { sampleTask, sampleVariant } from '../../support/coordinator/sample-task.ts';

const TASK = sampleTask();

function count(book: DemandBook, parameters: Parameters = {}, rows = 1, variant?: string): void {
  book.count(TASK, resolveSpec(parameters, {}, variant), rows);
}

describe('a demand book', () => {
  test('forecasts an upper quantile of what was counted, in inputs a second', () => {
    const book = new DemandBook();
    let streams = book.tick(5);
    for (let interval = 0; interval < 100; interval += 1) {
      for (let request = 0; request < 25; request += 1) count(book, {}, 2);
      streams = book.tick(5);
    }
    expect(streams).toHaveLength(1);
    // 50 in 5 seconds, whose 0.9 quantile is √50 × 1.28 above.
    expect(streams[0]?.requestsPerSecond).toBeCloseTo((50 + Math.sqrt(50) * 1.2816) / 5, 1);
  });

  test('takes an interval for what it lasted', () => {
    const book = new DemandBook();
    for (let request = 0; request < 200; request += 1) count(book);
    const [stream] = book.tick(5, 10);
    expect(stream?.requestsPerSecond).toBeCloseTo((100 + 10 * 1.2816) / 5, 1);
  });

  test('keeps apart what asks for something else, and puts deadlines of one class together', () => {
    const book = new DemandBook();
    for (const slo_ms of [100, 130, 199.5]) count(book, { slo_ms });
    count(book, { slo_ms: 200 });
    count(book, { slo_ms: 5 });
    count(book, { slo_ms: 100, privacy: 'no_pool' });
    count(book, { slo_ms: 100, min_accuracy: 0.9 });
    count(book, { slo_ms: 100, prefer: 'accuracy' });
    expect(
      book
        .tick(5)
        .map(({ sloMs, tiers, minAccuracy, prefersAccuracy }) => [
          sloMs,
          tiers.length,
          minAccuracy,
          prefersAccuracy,
        ]),
    ).toEqual([
      [100, 2, 0, false],
      [200, 2, 0, false],
      [5, 2, 0, false],
      [100, 1, 0, false],
      [100, 2, 0.9, false],
      [100, 2, 0, true],
    ]);
  });

  test('counts nothing that stays in the page, and a pinned cascade as both of its stages', () => {
    const book = new DemandBook();
    count(book, { privacy: 'local_only' });
    expect(book.tick(5)).toEqual([]);
    const shares = { value: 0.5, sampleSize: 100, interval: { low: 0.4, high: 0.6 } };
    const cascade = {
      small: 'tiny',
      large: 'big',
      threshold: 0.9,
      escalation: shares,
      drop: { value: 0, low: 0, high: 0 },
    };
    const task = sampleTask({
      variants: [
        sampleVariant({
          variant: 'tiny..big.t90',
          format: 'cascade',
          artifacts: [],
          cascade: cascade as never,
        }),
      ],
    });
    book.count(task, resolveSpec({}, {}, 'tiny..big.t90'), 1);
    expect(book.tick(5).map(({ variant }) => variant)).toEqual(['tiny', 'big']);
  });

  test('plans nothing for what has ebbed away, and forgets it after an hour', () => {
    const book = new DemandBook();
    for (let request = 0; request < 100; request += 1) count(book);
    book.tick(5);
    let intervals = 0;
    while ((book.tick(5)[0]?.requestsPerSecond ?? 0) > 0) intervals += 1;
    expect(intervals).toBeGreaterThan(10);
    expect(intervals).toBeLessThan(200);
    let kept = intervals + 2;
    while (book.tick(5).length > 0) kept += 1;
    expect(kept).toBe(721);
  });

  test('keeps no more streams than it may: the idlest gives way', () => {
    const book = new DemandBook();
    count(book, { min_accuracy: 0.999 });
    book.tick(5);
    for (let index = 0; index < MAX_STREAMS; index += 1) count(book, { min_accuracy: index / 1_000 });
    const streams = book.tick(5);
    expect(streams).toHaveLength(MAX_STREAMS);
    expect(streams.some(({ minAccuracy }) => minAccuracy === 0.999)).toBe(false);
  });

  test('keeps what is asked for often, however many ask for something else each time', () => {
    const book = new DemandBook();
    for (let request = 0; request < 10; request += 1) count(book, { min_accuracy: 0.999 });
    book.tick(5);
    for (let index = 0; index < 2 * MAX_STREAMS; index += 1) count(book, { min_accuracy: index / 10_000 });
    expect(book.tick(5).some(({ minAccuracy }) => minAccuracy === 0.999)).toBe(true);
  });
});
