import { crc32, deflateSync } from 'node:zlib';
import { readPng } from '@nearfar/core/png';
import { describe, expect, test } from 'vitest';

/** Colour types of the format (PNG, table 11.1). */
const GREY = 0;
const RGB = 2;
const PALETTE = 3;
const GREY_ALPHA = 4;

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
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, colourType, 0, 0, 0], 8);
  const packed = deflateSync(Buffer.from(rows.flatMap((row) => [0, ...row])));
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    ...chunks.map(([type, data]) => chunk(type, Buffer.from(data))),
    chunk('IDAT', packed),
    chunk('IEND', Buffer.alloc(0)),
  ]);
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
