import { tensorValues } from '@nearfar/core';
import { DATATYPE_BYTES, type Datatype, float32Values, type TensorSignature } from '@nearfar/protocol';
import fc from 'fast-check';
import { encode as encodePng } from 'fast-png';
import { describe, expect, test } from 'vitest';
import type { InputRows } from '../../../../register/src/data/input-rows.ts';
import { noiseInputs, openSampleInputs } from '../../../../register/src/data/sample-inputs.ts';
import { badData, GREY, GREY_INPUT, memoryFiles, npy, npz, picture, RGB, RGB_INPUT } from './builders.ts';

const RGB_TASK = { preprocess: RGB, inputs: [RGB_INPUT] };
const GREY_TASK = { preprocess: GREY, inputs: [GREY_INPUT] };

/** A grey picture that is dark on the left and bright on the right, of `side` by `side`. */
function ramp(side: number): Uint8Array {
  const data = Uint8Array.from({ length: side * side }, (_, index) => ((index % side) * 255) / (side - 1));
  return encodePng({ width: side, height: side, data, channels: 1, depth: 8 });
}

const valuesAt = (rows: InputRows, index: number) => {
  const [first] = rows.inputs(index);
  return first === undefined ? [] : [...float32Values(first)];
};
const allValues = (rows: InputRows) =>
  Array.from({ length: rows.count }, (_, index) => valuesAt(rows, index));

describe('samples of pictures', () => {
  const files = memoryFiles({
    'a.png': ramp(40),
    'b.jpg': picture('jpeg', [255, 255, 255]),
    'c.png': picture('png', [0, 0, 0]),
  });
  const open = (
    samples: readonly string[],
    task: typeof RGB_TASK | typeof GREY_TASK,
    count: number,
    seed = 1,
  ) => openSampleInputs(files, samples, task, count, seed);

  test('give as many rows as asked for, each picture in turn, first as it is', async () => {
    const rows = await open(['a.png', 'b.jpg', 'c.png'], RGB_TASK, 9);
    expect(rows.count).toBe(9);
    const means = allValues(rows).map(
      (values) => values.reduce((sum, value) => sum + value, 0) / values.length,
    );
    expect(means[0]).toBeCloseTo(0.5, 2);
    expect(means.slice(3).map((mean) => Math.round(mean))).toEqual([1, 1, 1, 0, 0, 0]);
    expect(rows.inputs(8)).toMatchObject([{ name: 'image', datatype: 'FP32', shape: [1, 3, 2, 2] }]);
  });

  test('are the same for the same seed in any order, and others for another', async () => {
    const once = allValues(await open(['a.png', 'b.jpg'], RGB_TASK, 12));
    const again = await open(['a.png', 'b.jpg'], RGB_TASK, 12);
    const backwards = Array.from({ length: 12 }, (_, index) => valuesAt(again, 11 - index)).reverse();
    expect(backwards).toEqual(once);
    expect(allValues(await open(['a.png', 'b.jpg'], RGB_TASK, 12, 2))).not.toEqual(once);
  });

  test('are crops of 40 to 100 % of the side, none like another', async () => {
    const rows = allValues(await open(['a.png'], GREY_TASK, 65)).slice(1);
    // On a ramp the two halves of a crop differ by half of its share of the picture.
    const shares = rows.map(([left = 0, right = 0]) => 2 * (right - left));
    for (const share of shares) {
      expect(share).toBeGreaterThan(0.37);
      expect(share).toBeLessThanOrEqual(1.03);
    }
    expect(Math.min(...shares)).toBeLessThan(0.5);
    expect(Math.max(...shares)).toBeGreaterThan(0.9);
    expect(new Set(rows.map(String)).size).toBeGreaterThan(55);
  });

  test('are flipped now and then in colour, never in grey', async () => {
    const isFlipped = ([left = 0, right = 0]: number[]) => left > right;
    const colour = allValues(await open(['a.png'], RGB_TASK, 64)).filter(isFlipped);
    expect(colour.length).toBeGreaterThan(16);
    expect(colour.length).toBeLessThan(48);
    expect(allValues(await open(['a.png'], GREY_TASK, 64)).filter(isFlipped)).toEqual([]);
  });

  test('have an identity that says what they are', async () => {
    const { identity } = await open(['a.png'], RGB_TASK, 8);
    expect((await open(['a.png'], RGB_TASK, 8)).identity).toBe(identity);
    const others = [
      await open(['c.png'], RGB_TASK, 8),
      await open(['a.png'], RGB_TASK, 9),
      await open(['a.png'], RGB_TASK, 8, 2),
      await open(['a.png'], GREY_TASK, 8),
    ];
    expect(new Set([identity, ...others.map((rows) => rows.identity)]).size).toBe(5);
  });

  test.each([
    ['none', [], 'Expected "samples" to name at least one file, got none'],
    ['a file that is not there', ['x.png'], 'Expected a file at "x.png", found none'],
    ['another kind', ['a.gif'], 'Expected samples to be .png, .jpg, .jpeg or .npz files, got "a.gif"'],
    ['a sound', ['a.wav'], 'got "a.wav"; sounds need "preprocess" of kind "audio"'],
    [
      'two kinds',
      ['a.png', 'b.npz'],
      'Expected "samples" of one kind, got pictures and arrays: "a.png", "b.npz"',
    ],
  ])('%s are refused', async (_, samples, message) => {
    await expect(open(samples, RGB_TASK, 8)).rejects.toThrow(badData(message));
  });

  test('damaged ones are refused at once, and so are pictures without preprocessing', async () => {
    const damaged = memoryFiles({ 'a.png': ramp(40), 'b.png': ramp(40).subarray(0, 60) });
    await expect(openSampleInputs(damaged, ['a.png', 'b.png'], RGB_TASK)).rejects.toThrow(
      badData('Cannot read the picture "b.png"'),
    );
    await expect(openSampleInputs(files, ['a.png'], { ...RGB_TASK, preprocess: undefined })).rejects.toThrow(
      badData('Expected "preprocess" of kind "image"'),
    );
  });
});

describe('samples of arrays', () => {
  const task = {
    preprocess: undefined,
    inputs: [{ name: 'v', datatype: 'FP32', shape: [-1, 1] }] satisfies TensorSignature[],
  };
  const column = (...values: number[]) =>
    npz({ v: npy('<f4', [values.length, 1], Float32Array.from(values)) });
  const files = memoryFiles({ 'a.npz': column(0, 1, 2, 3), 'b.npz': column(4, 5), 'none.npz': column() });

  test('are the rows of all files, spread where there are more than asked for', async () => {
    const valuesOf = async (count: number) =>
      allValues(await openSampleInputs(files, ['a.npz', 'b.npz'], task, count)).flat();
    expect(await valuesOf(256)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(await valuesOf(3)).toEqual([0, 2, 4]);
  });

  test('without rows are refused', async () => {
    await expect(openSampleInputs(files, ['none.npz'], task)).rejects.toThrow(
      badData('to have rows, got none'),
    );
  });
});

describe('noise', () => {
  const input = (datatype: Datatype, shape: number[] = [-1, 500]): TensorSignature => ({
    name: datatype.toLowerCase(),
    datatype,
    shape,
  });
  const valuesIn = (datatype: Datatype, index = 0) => {
    const [tensor] = noiseInputs([input(datatype)], 8, 1).inputs(index);
    return tensor === undefined ? [] : Array.from<number | bigint, number>(tensorValues(tensor), Number);
  };

  test('fits any signature, free dimensions being 1', () => {
    const datatypes = (Object.keys(DATATYPE_BYTES) as Datatype[]).filter((datatype) => datatype !== 'BYTES');
    const shapes = fc.array(fc.integer({ min: -1, max: 4 }), { maxLength: 4 });
    fc.assert(
      fc.property(fc.constantFrom(...datatypes), shapes, fc.integer(), (datatype, shape, seed) => {
        const [tensor] = noiseInputs([input(datatype, shape)], 1, seed).inputs(0);
        const expected = shape.map((dimension) => Math.abs(dimension));
        expect(tensor?.shape).toEqual(expected);
        const count = expected.reduce((product, dimension) => product * dimension, 1);
        expect(tensor?.data.byteLength).toBe(count * DATATYPE_BYTES[datatype]);
      }),
    );
  });

  test.each(['FP32', 'FP64'] as const)('of %s is a standard normal', (datatype) => {
    const values = valuesIn(datatype);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + value * value, 0) / values.length;
    // Four standard errors of 500 values.
    expect(Math.abs(mean)).toBeLessThan(0.18);
    expect(Math.abs(variance - 1)).toBeLessThan(0.26);
  });

  test.each(['FP16', 'BF16'] as const)('of %s has both signs and moderate sizes', (datatype) => {
    const sizes = valuesIn(datatype).map(Math.abs);
    expect(Math.min(...sizes)).toBeGreaterThanOrEqual(0.125);
    expect(Math.max(...sizes)).toBeLessThan(2);
    expect(valuesIn(datatype).filter((value) => value < 0).length).toBeGreaterThan(180);
  });

  test.each(['INT64', 'INT32', 'UINT16', 'BOOL'] as const)('of %s is 0 or 1', (datatype) => {
    expect(new Set(valuesIn(datatype))).toEqual(new Set([0, 1]));
  });

  test('of bytes is any byte', () => {
    expect(new Set(valuesIn('UINT8')).size).toBeGreaterThan(150);
  });

  test('is the same for the same seed and differs from row to row', () => {
    expect(valuesIn('FP32', 3)).toEqual(valuesIn('FP32', 3));
    const starts = Array.from({ length: 8 }, (_, index) => valuesIn('FP32', index)[0]);
    expect(new Set(starts).size).toBe(8);
    // Neighbours must not be one sequence, moved by a place.
    const bits = (index: number) =>
      noiseInputs([input('UINT8')], 2, 0).inputs(index)[0]?.data ?? new Uint8Array();
    expect([...bits(1).subarray(0, 50)]).not.toEqual([...bits(0).subarray(1, 51)]);
    const identities = [1, 2].map((seed) => noiseInputs([input('FP32')], 8, seed).identity);
    expect(new Set(identities).size).toBe(2);
  });

  test('there is none of text', () => {
    expect(() => noiseInputs([input('BYTES')], 1, 1)).toThrow(
      badData('There is no noise for input "bytes" of BYTES'),
    );
  });
});
