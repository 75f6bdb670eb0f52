import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { placeLabels } from '../../../web/src/console/label-places.ts';

const BOUNDS = { left: 60, right: 600, top: 0, bottom: 220 };
const point = (text: string, x: number, y: number) => ({ text, x, y });

describe('the names beside points', () => {
  test('go to the right, and where that is taken to another side', () => {
    const labels = placeLabels([point('first', 200, 100), point('second', 215, 100)], BOUNDS);
    expect(labels.map(({ text, anchor }) => [text, anchor])).toEqual([
      ['first', 'end'],
      ['second', 'start'],
    ]);
  });

  test('stay inside the chart', () => {
    expect(placeLabels([point('at the edge', 595, 100)], BOUNDS)).toMatchObject([{ anchor: 'end' }]);
    expect(placeLabels([point('a name that is wider than the chart'.repeat(3), 300, 100)], BOUNDS)).toEqual(
      [],
    );
  });

  test('do not cover a point without a name', () => {
    const [label] = placeLabels([point('named', 200, 100), point('', 240, 100)], BOUNDS);
    expect(label).toMatchObject({ text: 'named', anchor: 'end' });
  });

  test('are each there once at most, the first of the list in any case, and none on another', () => {
    const any = fc.record({
      text: fc.constantFrom('tiny', 'small-int8-onnx', 'tiny..large.t93'),
      x: fc.integer({ min: 80, max: 580 }),
      y: fc.integer({ min: 20, max: 200 }),
    });
    fc.assert(
      fc.property(fc.uniqueArray(any, { maxLength: 12, selector: ({ x, y }) => `${x} ${y}` }), (points) => {
        const labels = placeLabels(points, BOUNDS);
        expect(labels.length).toBeLessThanOrEqual(points.length);
        for (const [index, one] of labels.entries()) {
          for (const other of labels.slice(index + 1)) {
            const isApart =
              Math.abs(one.y - other.y) >= 13 ||
              leftOf(one) + one.text.length * 6.6 <= leftOf(other) + 0.01 ||
              leftOf(other) + other.text.length * 6.6 <= leftOf(one) + 0.01;
            expect(isApart).toBe(true);
          }
        }
      }),
    );
  });
});

function leftOf({ text, x, anchor }: { text: string; x: number; anchor: string }): number {
  const width = text.length * 6.6;
  return anchor === 'start' ? x : anchor === 'end' ? x - width : x - width / 2;
}
