import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { imageToTensor } from '@nearfar/core';
import { type EvalRule, float32Values, type TensorSignature } from '@nearfar/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type EvalTask,
  type LabelledData,
  openEvalData,
} from '../../../../register/src/data/labelled-data.ts';
import type { SourceFiles } from '../../../../register/src/source-files.ts';
import { dataFolder, NO_DATA, readTestPictures } from '../../../support/data-sets.ts';
import {
  badData,
  GREY,
  GREY_INPUT,
  idx,
  memoryFiles,
  npy,
  npz,
  picture,
  RGB,
  RGB_INPUT,
} from './builders.ts';

const LABELS = ['cat', 'dog', '0'];
const GREY_TASK: EvalTask = { labels: LABELS, preprocess: GREY, inputs: [GREY_INPUT] };
const RGB_TASK: EvalTask = { labels: LABELS, preprocess: RGB, inputs: [RGB_INPUT] };

const rule = (over: Partial<EvalRule>): EvalRule => ({ format: 'npz', metric: 'top-1', ...over });

/** Values of the first input of a row. */
const valuesAt = (data: LabelledData, index: number) => {
  const [first] = data.inputs(index);
  return first === undefined ? [] : [...float32Values(first)];
};
const labelsOf = (data: LabelledData) => Array.from({ length: data.count }, (_, index) => data.label(index));

describe('IDX data', () => {
  const images = idx([3, 2, 2], [0, 51, 102, 255, 255, 255, 255, 255, 0, 0, 0, 0]);
  const labels = idx([3], [1, 0, 2]);
  const IDX = rule({ format: 'idx', directory: 'data', images: 'images.gz', labels: 'labels' });
  const open = (files: Record<string, Uint8Array>, task = GREY_TASK, over: Partial<EvalRule> = {}) =>
    openEvalData(memoryFiles(files), { ...IDX, ...over }, task);

  test('are pictures through the preprocessing, with their labels', async () => {
    const data = await open({ 'data/images.gz': gzipSync(images), 'data/labels': labels });
    expect(data.count).toBe(3);
    expect(labelsOf(data)).toEqual([1, 0, 2]);
    expect(data.inputs(0)).toMatchObject([{ name: 'image', datatype: 'FP32', shape: [1, 1, 2, 2] }]);
    expect(valuesAt(data, 0)).toEqual([0, 51 / 255, 102 / 255, 1].map(Math.fround));
    expect(valuesAt(data, 1)).toEqual([1, 1, 1, 1]);
  });

  test('may be in colour', async () => {
    const data = await open(
      { 'data/images.gz': idx([1, 1, 1, 3], [255, 0, 51]), 'data/labels': idx([1], [0]) },
      RGB_TASK,
    );
    expect(valuesAt(data, 0)).toEqual([1, 1, 1, 1, 0, 0, 0, 0, 0.2, 0.2, 0.2, 0.2].map(Math.fround));
  });

  test('have another identity when a file or the preprocessing changes', async () => {
    const files = { 'data/images.gz': images, 'data/labels': labels };
    const { identity } = await open(files);
    expect((await open({ ...files })).identity).toBe(identity);
    const others = [
      await open({ ...files, 'data/labels': idx([3], [1, 0, 1]) }),
      await open(files, { ...GREY_TASK, preprocess: { ...GREY, std: [0.5] } }),
    ];
    expect(new Set([identity, ...others.map((other) => other.identity)]).size).toBe(3);
  });

  test.each<[string, Record<string, Uint8Array>, EvalTask, string]>([
    ['no pictures', { 'data/labels': labels }, GREY_TASK, 'Expected a file at "data/images.gz", found none'],
    [
      'fewer labels than pictures',
      { 'data/images.gz': images, 'data/labels': idx([2], [0, 1]) },
      GREY_TASK,
      'Expected as many labels as pictures, got 2 in "data/labels" and 3 in "data/images.gz"',
    ],
    [
      'a label that is too large',
      { 'data/images.gz': images, 'data/labels': idx([3], [0, 3, 1]) },
      GREY_TASK,
      'in "data/labels" to be whole numbers from 0 to 2, as the manifest has 3 labels, got 3 in row 1',
    ],
    [
      'labels for pictures',
      { 'data/images.gz': labels, 'data/labels': labels },
      GREY_TASK,
      'Expected "data/images.gz" to have shape [N, height, width]',
    ],
    [
      'pictures for labels',
      { 'data/images.gz': images, 'data/labels': images },
      GREY_TASK,
      'Expected "data/labels" to hold one label a row, shape [N], got [3, 2, 2]',
    ],
    [
      'channels first',
      { 'data/images.gz': idx([1, 3, 2, 2], Array(12).fill(0)), 'data/labels': idx([1], [0]) },
      RGB_TASK,
      'got [1, 3, 2, 2]; move the channels last',
    ],
    [
      'no labels in the manifest',
      { 'data/images.gz': images, 'data/labels': labels },
      { ...GREY_TASK, labels: undefined },
      'Expected "labels" in the manifest',
    ],
    [
      'no preprocessing',
      { 'data/images.gz': images, 'data/labels': labels },
      { ...GREY_TASK, preprocess: undefined },
      'Expected "preprocess" of kind "image" in the manifest',
    ],
    [
      'further inputs',
      { 'data/images.gz': images, 'data/labels': labels },
      { ...GREY_TASK, inputs: [GREY_INPUT, { name: 'state', datatype: 'FP32', shape: [2] }] },
      'got "state" as well; give all inputs as arrays in a .npz file',
    ],
    [
      'a model of another size',
      { 'data/images.gz': images, 'data/labels': labels },
      { ...GREY_TASK, inputs: [{ ...GREY_INPUT, shape: [-1, 2, 2, 1] }] },
      'The eval data do not fit the model: Expected input "image" to have shape [-1, 2, 2, 1] (-1 = any), got [1, 1, 2, 2]',
    ],
  ])('with %s are refused', async (_, files, task, message) => {
    await expect(open(files, task)).rejects.toThrow(badData(message));
  });

  test('need both files named, and labels that are classes', async () => {
    const files = { 'data/images.gz': images, 'data/labels': labels };
    await expect(
      openEvalData(memoryFiles(files), rule({ format: 'idx', images: 'x' }), GREY_TASK),
    ).rejects.toThrow(badData('Expected "eval.labels" to name a file, as format "idx" needs, got none'));
    await expect(open(files, GREY_TASK, { metric: 'within', tolerance: 1 })).rejects.toThrow(
      badData('Expected format "npz" for the metric "within"'),
    );
  });

  test.skipIf(dataFolder === undefined)(`of MNIST are its test pictures (${NO_DATA})`, async () => {
    const files: SourceFiles = {
      sizeOf: async (path) => (await readFile(`${dataFolder}/${path}`)).byteLength,
      read: async (path) => await readFile(`${dataFolder}/${path}`),
      list: async () => [],
    };
    const mnist = await readTestPictures('mnist');
    const preprocess = { ...GREY, width: 28, height: 28, mean: [0.1307], std: [0.3081] };
    const data = await openEvalData(
      files,
      rule({
        format: 'idx',
        directory: 'mnist',
        images: 't10k-images-idx3-ubyte.gz',
        labels: 't10k-labels-idx1-ubyte.gz',
      }),
      {
        labels: Array.from({ length: 10 }, (_, digit) => String(digit)),
        preprocess,
        inputs: [{ name: 'image', datatype: 'FP32', shape: [-1, 1, 28, 28] }],
      },
    );
    expect(data.count).toBe(10_000);
    expect(labelsOf(data)).toEqual([...mnist.labels]);
    const grey = mnist.pixels.subarray(777 * 784, 778 * 784);
    const rgba = Uint8Array.from({ length: 784 * 4 }, (_, index) =>
      index % 4 === 3 ? 255 : (grey[index >> 2] ?? 0),
    );
    expect(data.inputs(777)).toEqual([imageToTensor({ width: 28, height: 28, data: rgba }, preprocess)]);
  });
});

describe('npz data', () => {
  const open = (
    arrays: Record<string, Uint8Array>,
    task: EvalTask = GREY_TASK,
    over: Partial<EvalRule> = {},
  ) => openEvalData(memoryFiles({ 'eval.npz': npz(arrays) }), rule({ file: 'eval.npz', ...over }), task);

  const X = npy('|u1', [2, 2, 2], Uint8Array.of(0, 0, 0, 0, 255, 255, 255, 255));
  const Y = npy('<i8', [2], BigInt64Array.of(2n, 1n));
  const ROWS: TensorSignature = { name: 'features', datatype: 'FP32', shape: [-1, 3] };
  const ROWS_TASK: EvalTask = { labels: LABELS, preprocess: undefined, inputs: [ROWS] };
  const F64 = npy('<f8', [2, 3], Float64Array.of(0.1, 0.2, 0.3, 0.4, 0.5, 0.6));

  test('of bytes are pictures through the preprocessing', async () => {
    const data = await open({ x: X, y: Y });
    expect([data.count, labelsOf(data)]).toEqual([2, [2, 1]]);
    expect(valuesAt(data, 1)).toEqual([1, 1, 1, 1]);
  });

  test('of numbers are rows of the input, rounded to its datatype', async () => {
    const data = await open({ x: F64, y: Y }, ROWS_TASK);
    expect(data.inputs(1)).toMatchObject([{ name: 'features', datatype: 'FP32', shape: [1, 3] }]);
    expect(valuesAt(data, 1)).toEqual([0.4, 0.5, 0.6].map(Math.fround));
  });

  test('may name their arrays after the input, or as the manifest says', async () => {
    const zeros = npy('<f4', [2, 3], new Float32Array(6));
    expect(valuesAt(await open({ features: F64, x: zeros, y: Y }, ROWS_TASK), 0)[0]).toBe(Math.fround(0.1));
    const named = await open({ features: zeros, a: F64, b: Y, y: zeros }, ROWS_TASK, {
      images: 'a',
      labels: 'b',
    });
    expect(valuesAt(named, 0)[0]).toBe(Math.fround(0.1));
  });

  test('give each of several inputs its array, with and without a batch axis', async () => {
    const inputs: TensorSignature[] = [
      { name: 'frame', datatype: 'FP32', shape: [1, 2] },
      { name: 'state', datatype: 'FP32', shape: [2, 1] },
      { name: 'rate', datatype: 'INT64', shape: [] },
      { name: 'mask', datatype: 'BOOL', shape: [-1, 1] },
    ];
    const data = await open(
      {
        frame: npy('<f4', [2, 1, 2], Float32Array.of(1, 2, 3, 4)),
        state: npy('<f2', [2, 2, 1], Uint16Array.of(0, 0, 0x3c00, 0x4000)),
        rate: npy('<i4', [2], Int32Array.of(8_000, 16_000)),
        mask: npy('|b1', [2, 1], Uint8Array.of(0, 1)),
        y: Y,
      },
      { labels: LABELS, preprocess: undefined, inputs },
    );
    const row = data.inputs(1);
    expect(row.map(({ name, datatype, shape }) => [name, datatype, shape])).toEqual([
      ['frame', 'FP32', [1, 2]],
      ['state', 'FP32', [2, 1]],
      ['rate', 'INT64', []],
      ['mask', 'BOOL', [1, 1]],
    ]);
    expect(row.map(({ data: bytes }) => Buffer.from(bytes).toString('hex'))).toEqual([
      '0000404000008040',
      '0000803f00000040',
      '803e000000000000',
      '01',
    ]);
  });

  test('have values as labels where they are compared within a tolerance', async () => {
    const within = { metric: 'within', tolerance: 0.1 } as const;
    const data = await open(
      { x: F64, y: npy('<f8', [2, 2], Float64Array.of(1, 2, 3, 4)) },
      ROWS_TASK,
      within,
    );
    expect(labelsOf(data)).toEqual([Float32Array.of(1, 2), Float32Array.of(3, 4)]);
    const single = await open({ x: F64, y: npy('<i4', [2], Int32Array.of(5, 6)) }, ROWS_TASK, within);
    expect(labelsOf(single)).toEqual([Float32Array.of(5), Float32Array.of(6)]);
  });

  test.each([
    ['bytes', npy('|u1', [2], Uint8Array.of(2, 1))],
    ['floats that are whole', npy('<f4', [2], Float32Array.of(2, 1))],
    ['a column', npy('<i4', [2, 1], Int32Array.of(2, 1))],
  ])('take labels as %s', async (_, y) => {
    expect(labelsOf(await open({ x: X, y }))).toEqual([2, 1]);
  });

  test.each<[string, Record<string, Uint8Array>, EvalTask, string]>([
    [
      'no array for the input',
      { y: Y, z: X },
      ROWS_TASK,
      'Expected "eval.npz" to hold an array for each input ("features") or one named "x", found "y", "z"',
    ],
    ['no labels', { x: X }, GREY_TASK, 'Expected "eval.npz" to hold the labels as array "y", found "x"'],
    [
      'another number of labels',
      { x: X, y: npy('<i8', [1], BigInt64Array.of(0n)) },
      GREY_TASK,
      'Expected as many labels as rows in "eval.npz", got 1 labels and 2 rows',
    ],
    [
      'a negative label',
      { x: X, y: npy('<i8', [2], BigInt64Array.of(0n, -1n)) },
      GREY_TASK,
      'in array "y" in "eval.npz" to be whole numbers from 0 to 2, as the manifest has 3 labels, got -1 in row 1',
    ],
    ['a broken label', { x: X, y: npy('<f4', [2], Float32Array.of(0, 0.5)) }, GREY_TASK, 'got 0.5 in row 1'],
    [
      'a label that is no number',
      { x: X, y: npy('<f4', [2], Float32Array.of(Number.NaN, 0)) },
      GREY_TASK,
      'got NaN in row 0',
    ],
    [
      'one-hot labels',
      { x: X, y: npy('<f4', [2, 3], new Float32Array(6)) },
      GREY_TASK,
      'got [2, 3]; of one-hot labels take the argmax',
    ],
    [
      'rows of another width',
      { x: npy('<f4', [2, 4], new Float32Array(8)), y: Y },
      ROWS_TASK,
      'Expected array "x" in "eval.npz" to have shape [N, 3] (-1 = any), got [2, 4]',
    ],
    [
      'several inputs in each row',
      { x: npy('<f4', [2, 4, 3], new Float32Array(24)), y: Y },
      ROWS_TASK,
      'to have shape [N, 3] (-1 = any), got [2, 4, 3]',
    ],
    [
      'a single number',
      { x: npy('<f4', [], Float32Array.of(1)), y: Y },
      ROWS_TASK,
      'Expected array "x" in "eval.npz" to have shape [N, 3] (-1 = any), got []',
    ],
    [
      'floats for integers',
      { x: F64, y: Y },
      { ...ROWS_TASK, inputs: [{ ...ROWS, datatype: 'INT64' }] },
      'Expected array "x" in "eval.npz" to be INT64, got FP64',
    ],
    [
      'integers that are too large',
      { x: npy('<i8', [2, 3], BigInt64Array.of(1n, 2n, 2n ** 31n, 0n, 0n, 0n)), y: Y },
      { ...ROWS_TASK, inputs: [{ ...ROWS, datatype: 'INT32' }] },
      'Expected row 0 of array "x" in "eval.npz" to fit INT32, got 2147483648',
    ],
    [
      'no rows',
      { x: npy('<f4', [0, 3], new Float32Array()), y: npy('<i4', [0], new Int32Array()) },
      ROWS_TASK,
      'at least one row',
    ],
    [
      'arrays of different lengths',
      { a: F64, b: npy('<f4', [1, 3], new Float32Array(3)), y: Y },
      {
        ...ROWS_TASK,
        inputs: [
          { ...ROWS, name: 'a' },
          { ...ROWS, name: 'b' },
        ],
      },
      'to have the same number of rows, got 2 in "a" and 1 in "b"',
    ],
    [
      'one array for two inputs',
      { x: F64, a: F64, y: Y },
      {
        ...ROWS_TASK,
        inputs: [
          { ...ROWS, name: 'a' },
          { ...ROWS, name: 'b' },
        ],
      },
      'to hold an array for each input ("a", "b"), found "x", "a", "y"',
    ],
  ])('with %s are refused', async (_, arrays, task, message) => {
    await expect(open(arrays, task)).rejects.toThrow(badData(message));
  });

  test('may have a batch axis of 1 in each row', async () => {
    const x = npy('<f4', [2, 1, 3], Float32Array.of(1, 2, 3, 4, 5, 6));
    const data = await open({ x, y: Y }, ROWS_TASK);
    expect(data.inputs(1)).toMatchObject([{ shape: [1, 3] }]);
    expect(valuesAt(data, 1)).toEqual([4, 5, 6]);
  });

  test('that are too large are refused before they are read', async () => {
    const files: SourceFiles = {
      ...memoryFiles({}),
      sizeOf: async () => 2 ** 31,
      read: () => Promise.reject(new Error('Expected no read')),
    };
    await expect(openEvalData(files, rule({ file: 'eval.npz' }), GREY_TASK)).rejects.toThrow(
      badData('Expected "eval.npz" to have at most 1073741824 bytes, got 2147483648'),
    );
  });

  test('that are no .npz file are refused', async () => {
    const files = memoryFiles({ 'eval.npz': Buffer.from('x,y\n') });
    await expect(openEvalData(files, rule({ file: 'eval.npz' }), GREY_TASK)).rejects.toThrow(
      badData('Expected "eval.npz" to be a .npz file'),
    );
  });

  test('keep every value of any rows', async () => {
    const rows = fc.array(fc.tuple(fc.float(), fc.float(), fc.float()), { minLength: 1, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(rows, async (entries) => {
        const x = npy('<f4', [entries.length, 3], Float32Array.from(entries.flat()));
        const y = npy('<i4', [entries.length], new Int32Array(entries.length));
        const data = await open({ x, y }, ROWS_TASK);
        expect(entries.map((_, index) => valuesAt(data, index))).toEqual(entries);
      }),
      { numRuns: 50 },
    );
  });
});

describe('folders of pictures', () => {
  const red = picture('png', [255, 0, 0]);
  const white = picture('jpeg', [255, 255, 255]);
  const FOLDER = rule({ format: 'folder', directory: './photos/' });
  const open = (files: Record<string, Uint8Array>) => openEvalData(memoryFiles(files), FOLDER, RGB_TASK);

  test('give each picture the label that its folder is named after, or the index of', async () => {
    const data = await open({
      'photos/cat/1.png': red,
      'photos/1/more/2.JPEG': white,
      // The name of label 2 goes before index 0.
      'photos/0/3.png': red,
      'photos/README.md': Buffer.from('about'),
      'photos/cat/.hidden': Buffer.from('x'),
      'photos/.cache/x': Buffer.from('x'),
    });
    const found = Array.from({ length: data.count }, (_, index) => [
      data.label(index),
      valuesAt(data, index)[4],
    ]);
    expect(found.sort()).toEqual([
      [0, 0],
      [1, 1],
      [2, 0],
    ]);
  });

  test('are decoded one by one: a damaged picture is named when it is asked for', async () => {
    const data = await open({ 'photos/cat/1.png': red, 'photos/cat/2.png': red.subarray(0, 40) });
    expect(() => data.inputs(0)).not.toThrow();
    expect(() => data.inputs(1)).toThrow(badData('Cannot read the picture "photos/cat/2.png"'));
  });

  test('a picture is what its bytes say, whatever it is called', async () => {
    expect(valuesAt(await open({ 'photos/cat/1.jpg': red }), 0)[0]).toBe(1);
    await expect(open({ 'photos/cat/1.png': Buffer.from('GIF89a') })).rejects.toThrow(
      badData('Expected "photos/cat/1.png" to be a PNG or JPEG file, got something else'),
    );
  });

  test.each<[string, Record<string, Uint8Array>, string]>([
    [
      'unknown names',
      { 'photos/cat/1.png': red, 'photos/cta/2.png': red, 'photos/3/1.png': red },
      'Expected the folders in "photos" to be named as the labels or by their index (0 to 2), found "3", "cta"',
    ],
    [
      'other files',
      { 'photos/cat/1.webp': red },
      'Expected PNG and JPEG files (.png, .jpg, .jpeg) in the folders of',
    ],
    ['no pictures', { 'photos/1.png': red }, 'Expected "photos" to hold folders with pictures, found none'],
  ])('with %s are refused', async (_, files, message) => {
    await expect(open(files)).rejects.toThrow(badData(message));
  });

  test('have another identity when a picture changes or moves', async () => {
    const { identity } = await open({ 'photos/cat/1.png': red });
    expect((await open({ 'photos/cat/1.png': red })).identity).toBe(identity);
    expect((await open({ 'photos/cat/1.png': white })).identity).not.toBe(identity);
    expect((await open({ 'photos/dog/1.png': red })).identity).not.toBe(identity);
  });

  test('a directory has to be named', async () => {
    await expect(openEvalData(memoryFiles({}), rule({ format: 'folder' }), RGB_TASK)).rejects.toThrow(
      badData('Expected "eval.directory" to name the folder'),
    );
  });
});
