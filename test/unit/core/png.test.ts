import { readdirSync, readFileSync } from 'node:fs';
import { crc32, deflateSync } from 'node:zlib';
import { readPng } from '@nearfar/core/png';
import { describe, expect, test } from 'vitest';

/** Colour types of the format (PNG, table 11.1). */
const GREY = 0;
const RGB = 2;
const PALETTE = 3;
const GREY_ALPHA = 4;

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

interface PngParts {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly colourType: number;
  /** Bytes of each row, without its filter byte. */
  readonly rows: readonly (readonly number[])[];
  readonly chunks?: readonly (readonly [string, readonly number[]])[];
}

function png({ width, height, depth, colourType, rows, chunks = [] }: PngParts): Uint8Array {
  const packed = deflateSync(Buffer.from(rows.flatMap((row) => [0, ...row])));
  return pngOf(
    header({ width, height, depth, colourType }),
    ...chunks.map(([type, data]) => chunk(type, Buffer.from(data))),
    chunk('IDAT', packed),
  );
}

/** A file of these chunks, closed with IEND. */
function pngOf(...chunks: readonly Buffer[]): Uint8Array {
  return Buffer.concat([SIGNATURE, ...chunks, chunk('IEND', Buffer.alloc(0))]);
}

interface Header {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly colourType: number;
  readonly isInterlaced?: boolean;
}

function header({ width, height, depth, colourType, isInterlaced = false }: Header): Buffer {
  const data = Buffer.alloc(13);
  data.writeUInt32BE(width, 0);
  data.writeUInt32BE(height, 4);
  data.set([depth, colourType, 0, 0, isInterlaced ? 1 : 0], 8);
  return chunk('IHDR', data);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(data.byteLength, 0);
  frame.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
}

const pixelsOf = (parts: PngParts): number[] => Array.from(readPng(png(parts)).data);

describe('a PNG of any colour type becomes RGBA', () => {
  test('one bit a pixel, each row beginning with a byte of its own', () => {
    const rows = [[0b1010_0000], [0b0100_0000]];
    expect(pixelsOf({ width: 3, height: 2, depth: 1, colourType: GREY, rows })).toEqual(
      [255, 0, 255, 0, 255, 0].flatMap((grey) => [grey, grey, grey, 255]),
    );
  });

  test('two bits of a palette, with the transparency of its entries', () => {
    const chunks = [
      ['PLTE', [10, 20, 30, 40, 50, 60, 70, 80, 90]],
      ['tRNS', [255, 128]],
    ] as const;
    const rows = [[0b00_01_10_00]];
    expect(pixelsOf({ width: 3, height: 1, depth: 2, colourType: PALETTE, rows, chunks })).toEqual([
      10, 20, 30, 255, 40, 50, 60, 128, 70, 80, 90, 255,
    ]);
  });

  test('sixteen bits are rounded to eight', () => {
    const rows = [[0xff, 0xff, 0x80, 0x00, 0x00, 0x7f]];
    expect(pixelsOf({ width: 3, height: 1, depth: 16, colourType: GREY, rows })).toEqual(
      [255, 128, 0].flatMap((grey) => [grey, grey, grey, 255]),
    );
  });

  test('grey with alpha keeps its colours as they are under any alpha', () => {
    const rows = [[200, 1, 63, 16]];
    expect(pixelsOf({ width: 2, height: 1, depth: 8, colourType: GREY_ALPHA, rows })).toEqual([
      200, 200, 200, 1, 63, 63, 63, 16,
    ]);
  });

  test('a colour that is named transparent has no alpha, its neighbours do', () => {
    const rows = [[1, 2, 3, 1, 2, 4, 5, 2, 3]];
    const chunks = [['tRNS', [0, 1, 0, 2, 0, 3]]] as const;
    expect(pixelsOf({ width: 3, height: 1, depth: 8, colourType: RGB, rows, chunks })).toEqual([
      1, 2, 3, 0, 1, 2, 4, 255, 5, 2, 3, 255,
    ]);
  });
});

describe('what is no PNG', () => {
  const whole = png({ width: 2, height: 1, depth: 8, colourType: GREY, rows: [[1, 2]] });

  test.each([
    ['nothing', new Uint8Array(0)],
    ['text', new TextEncoder().encode('this is forty bytes of text, not a picture')],
    ['a picture that is cut off', whole.subarray(0, 45)],
    ['a changed header', whole.map((byte, index) => (index === 25 ? 7 : byte))],
  ])('%s is refused', (_name, bytes) => {
    expect(() => readPng(bytes)).toThrow(expect.objectContaining({ code: 'MESH_BAD_MEDIA' }));
  });

  test('a header that announces more pixels than allowed is refused before anything is unpacked', () => {
    const huge = png({ width: 60_000, height: 60_000, depth: 8, colourType: GREY, rows: [] });
    expect(() => readPng(huge)).toThrow('60000×60000');
  });
});

describe('a picture that would unpack to more than it says', () => {
  const refusal = expect.objectContaining({ code: 'MESH_BAD_MEDIA' });
  const grey = header({ width: 2, height: 2, depth: 8, colourType: GREY });
  const greyRows = Buffer.from([0, 1, 2, 0, 3, 4]);
  const greyPixels = [1, 2, 3, 4].flatMap((value) => [value, value, value, 255]);
  /** Packs to 64 KB. */
  const zeros = Buffer.alloc(64 * 1024 * 1024);

  test.each([
    ['in one IDAT', (packed: Buffer) => [packed]],
    ['over two IDATs', (packed: Buffer) => [packed.subarray(0, 1_000), packed.subarray(1_000)]],
  ])('is refused, %s', (_name, split) => {
    const idats = split(deflateSync(zeros)).map((data) => chunk('IDAT', data));
    expect(() => readPng(pngOf(grey, ...idats))).toThrow(
      'unpack to 6 bytes, as its header implies, got more',
    );
  });

  test('is refused when it has one byte too many', () => {
    const file = (rows: Buffer) => pngOf(grey, chunk('IDAT', deflateSync(rows)));
    expect(Array.from(readPng(file(greyRows)).data)).toEqual(greyPixels);
    expect(() => readPng(file(Buffer.concat([greyRows, Buffer.alloc(1)])))).toThrow(refusal);
  });

  test('is refused when it is interlaced, and read when it keeps to its passes', () => {
    const interlaced = header({ width: 3, height: 2, depth: 8, colourType: GREY, isInterlaced: true });
    // Passes 1, 4, 6 and 7 hold pixels: one, one, one and the whole second row.
    const rows = Buffer.from([0, 10, 0, 30, 0, 20, 0, 40, 50, 60]);
    const file = (data: Buffer) => pngOf(interlaced, chunk('IDAT', deflateSync(data)));
    expect(Array.from(readPng(file(rows)).data)).toEqual(
      [10, 20, 30, 40, 50, 60].flatMap((value) => [value, value, value, 255]),
    );
    expect(() => readPng(file(Buffer.concat([rows, Buffer.alloc(1)])))).toThrow(refusal);
  });

  test.each([1, 2, 4])(
    'is refused when it is interlaced with %i bits a sample, saying how to mend it',
    (depth) => {
      const interlaced = header({ width: 1, height: 1, depth, colourType: GREY, isInterlaced: true });
      const file = pngOf(interlaced, chunk('IDAT', deflateSync(Buffer.from([0, 0]))));
      expect(() => readPng(file)).toThrow('without interlacing');
    },
  );

  test('is refused when its data goes on long after the end', () => {
    const idat = chunk('IDAT', Buffer.concat([deflateSync(greyRows), Buffer.alloc(200_000)]));
    expect(() => readPng(pngOf(grey, idat))).toThrow('to end at byte');
  });

  test.each([
    ['iCCP', Buffer.concat([Buffer.from('profile\0\0', 'latin1'), deflateSync(zeros)])],
    ['zTXt', Buffer.concat([Buffer.from('Comment\0\0', 'latin1'), deflateSync(zeros)])],
    ['iCCP', Buffer.from('no profile at all')],
  ])('is read when only what its pixels do not depend on does: %s', (type, data) => {
    const file = pngOf(grey, chunk(type, data), chunk('IDAT', deflateSync(greyRows)));
    expect(Array.from(readPng(file).data)).toEqual(greyPixels);
  });

  test.each([
    ['a second header', [grey, grey]],
    ['a chunk before its header', [chunk('gAMA', Buffer.alloc(4)), grey]],
    ['a header of another size', [chunk('IHDR', Buffer.alloc(14))]],
    ['a palette of more than 256 entries', [grey, chunk('PLTE', Buffer.alloc(771))]],
    ['two palettes', [grey, chunk('PLTE', Buffer.alloc(3)), chunk('PLTE', Buffer.alloc(3))]],
    [
      'a depth that its colour type does not have',
      [header({ width: 2, height: 2, depth: 4, colourType: RGB })],
    ],
  ])('%s is refused', (_name, chunks) => {
    expect(() => readPng(pngOf(...chunks, chunk('IDAT', deflateSync(greyRows))))).toThrow(refusal);
  });

  test.each(['digits', 'fashion'])('the samples of %s are read', (task) => {
    const folder = new URL(`../../../models/${task}/samples/`, import.meta.url);
    for (const name of readdirSync(folder)) {
      const { width, height, data } = readPng(readFileSync(new URL(name, folder)));
      expect(data).toHaveLength(width * height * 4);
    }
  });
});
