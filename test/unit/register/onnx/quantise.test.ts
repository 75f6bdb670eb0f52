import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { halfToNumber } from '../../../../register/src/onnx/half.ts';
import { quantiseBlocks } from '../../../../register/src/onnx/quantise-blocks.ts';
import { quantiseColumns } from '../../../../register/src/onnx/quantise-columns.ts';

/** Weights of a matrix: mostly ordinary, now and then zero, tiny or large. */
const element = fc.oneof(
  { weight: 8, arbitrary: fc.float({ min: -4, max: 4, noNaN: true }) },
  fc.constantFrom(0, -0, 1e-30, -1e-38, 3e4, -2e-5),
);

function matrix(rows: number, columns: number) {
  return fc
    .array(element, { minLength: rows * columns, maxLength: rows * columns })
    .map((values) => Float32Array.from(values));
}

const shapes = fc.constantFrom<readonly number[]>([4, 8], [2, 64], [3, 5], [1, 96], [2, 4, 3, 3]);
const sized = shapes.chain((shape) => {
  const count = shape.reduce((product, size) => product * size, 1);
  return matrix(count, 1).map((values) => ({ shape, values }));
});

describe('blocks of 8-bit integers', () => {
  test('no element is off by more than half a step of its block', () => {
    fc.assert(
      fc.property(
        sized,
        fc.constantFrom(4, 16, 32, Number.POSITIVE_INFINITY),
        ({ shape, values }, blockSize) => {
          const {
            integers,
            restored,
            scales,
            scaleShape,
            shape: cut,
            unit,
          } = quantiseBlocks(values, shape, [0], blockSize);
          expect(cut.reduce((product, size) => product * size, 1)).toBe(values.length);
          const perScale = values.length / scales.length;
          expect(scaleShape.reduce((product, size) => product * size, 1)).toBe(scales.length);
          for (const [index, value] of values.entries()) {
            // Axis 0 is kept and only an axis behind it is cut, so that blocks of a matrix lie one after another.
            const scale = halfToNumber(
              shape.length === 2 ? (scales[Math.floor(index / perScale)] ?? 0) : largestOf(scales),
            );
            const rounding = unit * 2 ** -22;
            expect(Math.abs((restored[index] ?? 0) - value)).toBeLessThanOrEqual(
              (scale * unit) / 2 + rounding,
            );
            expect(integers[index]).toBeLessThanOrEqual(255);
          }
        },
      ),
    );
  });

  test('zeros stay zeros, and a block of equal numbers is exact to fp16', () => {
    expect([...quantiseBlocks(new Float32Array(8), [2, 4], [0], 4).restored]).toEqual(Array(8).fill(0));
    const { restored } = quantiseBlocks(new Float32Array(4).fill(0.3), [1, 4], [0], 4);
    for (const value of restored) expect(value).toBeCloseTo(0.3, 6);
  });

  test.each([
    { shape: [4, 96], kept: [0], size: 32, cut: [4, 3, 32] },
    { shape: [96, 4], kept: [1], size: 32, cut: [3, 32, 4] },
    { shape: [2, 512, 128], kept: [0, 1], size: 64, cut: [2, 512, 2, 64] },
    { shape: [8, 6, 3, 3], kept: [0], size: 32, cut: [8, 2, 3, 3, 3] },
    { shape: [4, 97], kept: [0], size: 32, cut: [4, 97] },
    { shape: [4, 20], kept: [0], size: 32, cut: [4, 20] },
    { shape: [4, 96], kept: [0], size: Number.POSITIVE_INFINITY, cut: [4, 96] },
    { shape: [40], kept: [], size: 20, cut: [2, 20] },
  ])('cuts $shape into $cut for blocks of $size', ({ shape, kept, size, cut }) => {
    const values = new Float32Array(shape.reduce((product, length) => product * length, 1)).fill(1);
    expect(quantiseBlocks(values, shape, kept, size).shape).toEqual(cut);
  });
});

function largestOf(scales: Uint16Array): number {
  return scales.reduce((most, bits) => (halfToNumber(bits) > halfToNumber(most) ? bits : most), 0);
}

describe('columns of int8', () => {
  test('no element is off by more than half a step of its column', () => {
    fc.assert(
      fc.property(matrix(6, 4), (values) => {
        const quantised = quantiseColumns(values, 4);
        for (const [index, value] of values.entries()) {
          const scale = quantised?.scales[index % 4] ?? 0;
          const off = Math.abs((quantised?.restored[index] ?? 0) - value);
          // integer × scale is rounded to fp32 as well: by up to 127 × scale × 2^-24.
          expect(off).toBeLessThanOrEqual(scale / 2 + 127 * scale * 2 ** -24);
        }
      }),
    );
  });

  test('two products with neighbours in a column fit 16 bits, whatever the inputs', () => {
    fc.assert(
      fc.property(matrix(8, 3), (values) => {
        const { integers } = quantiseColumns(values, 3) ?? { integers: new Int8Array() };
        for (let index = 0; index + 3 < integers.length; index += 1) {
          const [value, below] = [integers[index] ?? 0, integers[index + 3] ?? 0];
          expect(255 * (Math.max(value, 0) + Math.max(below, 0))).toBeLessThanOrEqual(32_767);
          expect(255 * (Math.min(value, 0) + Math.min(below, 0))).toBeGreaterThanOrEqual(-32_768);
        }
      }),
    );
  });

  test('a column of zeros has scale 1; minus zero becomes zero', () => {
    const quantised = quantiseColumns(Float32Array.of(0, 2, -0, -2), 2);
    expect([...(quantised?.scales ?? [])]).toEqual([1, Math.fround(2 / 127)]);
    expect([...(quantised?.integers ?? [])]).toEqual([0, 127, 0, -127]);
  });

  test('numbers that may become infinite are not quantised', () => {
    expect(quantiseColumns(Float32Array.of(3e38), 1)).toBeUndefined();
  });
});
