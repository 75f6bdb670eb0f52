import type { ParetoLineBody, TaskInfo } from '@nearfar/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type ChartPoint,
  chartPoints,
  frontier,
  logScale,
  shareScale,
} from '../../../web/src/console/chart-points.ts';
import type { VariantItem } from '../../../web/src/console/variant-rows.ts';

type Cell = ParetoLineBody['cells'][number];

/** A variant as a row of the table has it. */
function item(
  name: string,
  accuracy: Partial<TaskInfo['variants'][number]['accuracy']>,
  ...cells: Partial<Cell>[]
) {
  const variant = {
    variant: name,
    format: 'onnx',
    accuracy: { value: 0.9, source: 'declared', sampleSize: 0, ...accuracy },
  };
  const measured = { deviceClass: 'cpu:x64-2', p50Ms: 5, p99Ms: 9, samples: 30, costs: [] };
  const line = { variant: name, sizeBytes: 1, cells: cells.map((cell) => ({ ...measured, ...cell })) };
  return { variant, line } as unknown as VariantItem;
}

const point = (variant: string, x: number, accuracy: number): ChartPoint => ({
  variant,
  x,
  accuracy,
  interval: undefined,
  isCascade: false,
  dominatedBy: undefined,
});

describe('the points of a chart', () => {
  test('are the variants that were measured on the device class', () => {
    const items = [
      item('here', {}, {}),
      item('elsewhere', {}, { deviceClass: 'cpu:arm64-4' }),
      item('nowhere', {}),
    ];
    expect(chartPoints(items, 'cpu:x64-2', 'latency')).toMatchObject([
      { variant: 'here', x: 5, accuracy: 0.9 },
    ]);
  });

  test('leave out a variant of which nobody knows how accurate it is', () => {
    expect(chartPoints([item('unknown', { value: 0 }, {})], 'cpu:x64-2', 'latency')).toEqual([]);
    expect(
      chartPoints([item('bad', { value: 0, source: 'measured' }, {})], 'cpu:x64-2', 'latency'),
    ).toHaveLength(1);
  });

  test('lie at the cheapest tier, and nowhere where no cost is known', () => {
    const costs: Cell['costs'] = [
      { tier: 'pool', usdPer1000: 0.3 },
      { tier: 'edge', usdPer1000: 0.1 },
    ];
    const points = chartPoints([item('a', {}, { costs }), item('b', {}, {})], 'cpu:x64-2', 'cost');
    expect(points).toMatchObject([{ variant: 'a', x: 0.1 }]);
  });
});

describe('the frontier', () => {
  test('climbs from left to right and leaves out what lies behind', () => {
    const points = [point('c', 9, 0.95), point('a', 1, 0.9), point('behind', 5, 0.89), point('b', 2, 0.92)];
    expect(frontier(points).map(({ variant }) => variant)).toEqual(['a', 'b', 'c']);
  });

  test('has for every point one that is as far left and as high', () => {
    const any = fc.record({ x: fc.integer({ min: 1, max: 9 }), accuracy: fc.integer({ min: 1, max: 9 }) });
    fc.assert(
      fc.property(fc.array(any), (values) => {
        const points = values.map(({ x, accuracy }, index) => point(String(index), x, accuracy / 10));
        const best = frontier(points);
        for (const { x, accuracy } of points) {
          expect(best.some((other) => other.x <= x && other.accuracy >= accuracy)).toBe(true);
        }
        for (const [index, current] of best.slice(1).entries()) {
          expect(current.x).toBeGreaterThan(best[index]?.x ?? 0);
          expect(current.accuracy).toBeGreaterThan(best[index]?.accuracy ?? 0);
        }
      }),
    );
  });
});

describe('a scale', () => {
  test.each([
    [
      [0.2, 10],
      [0.2, 0.5, 1, 2, 5, 10],
    ],
    [
      [0.01, 1_000],
      [0.01, 0.1, 1, 10, 100, 1_000],
    ],
    [[3], [3, 4]],
  ])('of the times %j has the ticks %j', (values, ticks) => {
    expect(logScale(values)?.ticks).toEqual(ticks);
  });

  test('of nothing above 0 there is not', () => {
    expect(logScale([0, 0])).toBeUndefined();
    expect(logScale([])).toBeUndefined();
  });

  test('holds every value, and its ticks rise inside it', () => {
    const times = fc.array(fc.double({ min: 1e-6, max: 1e6, noNaN: true }), { minLength: 1 });
    const shares = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1 });
    fc.assert(
      fc.property(times, shares, (someTimes, someShares) => {
        for (const [values, scale] of [
          [someTimes, logScale(someTimes)],
          [someShares, shareScale(someShares)],
        ] as const) {
          if (scale === undefined) throw new Error('Expected a scale');
          const { low, high, ticks } = scale;
          expect(Math.min(...values)).toBeGreaterThanOrEqual(low);
          expect(Math.max(...values)).toBeLessThanOrEqual(high);
          expect(high).toBeGreaterThan(low);
          expect(ticks).toEqual([...new Set(ticks)].toSorted((a, b) => a - b));
          for (const tick of ticks) expect(tick >= low && tick <= high).toBe(true);
        }
      }),
    );
  });

  test('of shares has a handful of ticks', () => {
    expect(shareScale([0.886, 0.944]).ticks).toEqual([0.88, 0.9, 0.92, 0.94]);
    expect(shareScale([0.9]).ticks.length).toBeGreaterThanOrEqual(2);
    expect(shareScale([0, 1]).ticks.length).toBeLessThanOrEqual(6);
  });
});
