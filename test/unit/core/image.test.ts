import { imageToTensor, type Pixels } from '@nearfar/core';
import { float32Values, type ImagePreprocess } from '@nearfar/protocol';
import { describe, expect, test } from 'vitest';

const rule: ImagePreprocess = {
  kind: 'image',
  input: 'image',
  width: 4,
  height: 4,
  channels: 'grayscale',
  layout: 'NCHW',
  invert: 'never',
  center: 'box',
  mean: [0],
  std: [1],
};

/** A grey picture from rows of values 0 to 255. */
function grey(rows: readonly (readonly number[])[]): Pixels {
  const values = rows.flat();
  return {
    width: rows[0]?.length ?? 0,
    height: rows.length,
    data: Uint8Array.from(values.flatMap((value) => [value, value, value, 255])),
  };
}

function tensor(pixels: Pixels, over: Partial<ImagePreprocess> = {}): number[] {
  return Array.from(float32Values(imageToTensor(pixels, { ...rule, ...over })), (value) =>
    Math.round(value * 255),
  );
}

const square = (size: number, value: number) =>
  Array.from({ length: size }, () => Array<number>(size).fill(value));

describe('imageToTensor', () => {
  test('takes a picture of the right size as it is', () => {
    expect(tensor(grey(square(4, 100)))).toEqual(Array<number>(16).fill(100));
  });

  test('averages areas when it shrinks', () => {
    const halves = Array.from({ length: 8 }, () => [0, 200, 0, 200, 0, 200, 0, 200]);
    expect(tensor(grey(halves))).toEqual(Array<number>(16).fill(100));
  });

  test('inverts a picture with a bright border, and leaves one with a dark border', () => {
    expect(tensor(grey(square(4, 255)), { invert: 'auto' })).toEqual(Array<number>(16).fill(0));
    expect(tensor(grey(square(4, 10)), { invert: 'auto' })).toEqual(Array<number>(16).fill(10));
  });

  test('crops, scales the longer side and centres the box', () => {
    const rows = square(12, 0);
    for (let y = 2; y < 6; y += 1) for (let x = 7; x < 9; x += 1) (rows[y] as number[])[x] = 255;
    expect(tensor(grey(rows), { trim: 16, boxSize: 4 })).toEqual([
      0, 255, 255, 0, 0, 255, 255, 0, 0, 255, 255, 0, 0, 255, 255, 0,
    ]);
  });

  test('puts the centre of mass in the middle without leaving the canvas', () => {
    const rows = square(8, 0);
    for (let x = 0; x < 4; x += 1) (rows[7] as number[])[x] = 255;
    const values = tensor(grey(rows), { trim: 16, boxSize: 2, center: 'mass' });
    expect(values.filter((value) => value > 0)).toHaveLength(2);
    expect(
      values
        .slice(5, 7)
        .concat(values.slice(9, 11))
        .some((value) => value > 0),
    ).toBe(true);
  });

  test('lays a transparent picture on white', () => {
    expect(tensor({ width: 4, height: 4, data: new Uint8Array(64) })).toEqual(Array<number>(16).fill(255));
  });

  test('splits colours by layout', () => {
    const pixel: Pixels = { width: 1, height: 1, data: Uint8Array.of(10, 20, 30, 255) };
    const size = { width: 1, height: 1, channels: 'rgb' as const };
    expect(tensor(pixel, size)).toEqual([10, 20, 30]);
    expect(imageToTensor(pixel, { ...rule, ...size, layout: 'NHWC' }).shape).toEqual([1, 1, 1, 3]);
  });

  test('refuses pixels that do not fit the size', () => {
    expect(() => imageToTensor({ width: 2, height: 2, data: new Uint8Array(3) }, rule)).toThrow(
      'Expected 2×2 RGBA pixels',
    );
  });
});
