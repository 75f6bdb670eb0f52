import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { halfBitsOf, halfToNumber, LARGEST_HALF } from '../../../../register/src/onnx/half.ts';

describe('fp16', () => {
  test('every fp16 number becomes itself again', () => {
    for (let bits = 0; bits < 65_536; bits += 1) {
      const value = halfToNumber(bits);
      if (Number.isNaN(value)) expect(Number.isNaN(halfToNumber(halfBitsOf(value)))).toBe(true);
      else expect(halfBitsOf(value)).toBe(bits);
    }
  });

  test('rounds to the nearest, and to the even one of two that are as near', () => {
    const finite = fc.float({ noNaN: true, noDefaultInfinity: true, min: -LARGEST_HALF, max: LARGEST_HALF });
    fc.assert(
      fc.property(finite, (value) => {
        const bits = halfBitsOf(value);
        const distance = Math.abs(halfToNumber(bits) - value);
        for (const neighbour of [bits - 1, bits + 1]) {
          // The neighbours of 0 and of the largest number are of another sign or infinite.
          if ((neighbour & 0x7fff) >= 0x7c00 || neighbour < 0 || ((neighbour ^ bits) & 0x8000) !== 0)
            continue;
          const other = Math.abs(halfToNumber(neighbour) - value);
          expect(distance).toBeLessThanOrEqual(other);
          if (distance === other && distance > 0) expect(bits & 1).toBe(0);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test.each([
    [65_519.99, 0x7bff],
    [65_520, 0x7c00],
    [2 ** -24, 1],
    [2 ** -25, 0],
    [2 ** -25 * 1.001, 1],
    [-(2 ** -26), 0x8000],
    [-0, 0x8000],
    [Number.NEGATIVE_INFINITY, 0xfc00],
    [2049, 0x6800],
    [2051, 0x6802],
  ])('%f becomes bits %i, as IEEE 754 has it', (value, bits) => {
    expect(halfBitsOf(value)).toBe(bits);
  });

  test('agrees with the language itself where it has fp16', () => {
    const { f16round } = Math as { f16round?: (value: number) => number };
    if (f16round === undefined) return;
    fc.assert(
      fc.property(fc.float({ noNaN: true }), (value) =>
        Object.is(halfToNumber(halfBitsOf(value)), f16round(value)),
      ),
      { numRuns: 5_000 },
    );
  });
});
