import { applyOrientation, type Orientation, type Pixels, readOrientation } from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ExifParts, insertExif } from '../../support/exif.ts';

/** The smallest bytes that have a JPEG's segments: start, one application segment, start of scan, end. */
const jpeg = Uint8Array.of(0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xda, 0, 2, 0xff, 0xd9);

/** A picture of one letter a pixel, by rows. */
function pixelsOf(...rows: readonly string[]): Pixels {
  const codes = [...rows.join('')].map((letter) => letter.charCodeAt(0));
  const data = Uint8Array.from(codes.flatMap((code) => [code, code + 1, code + 2, 255]));
  return { width: rows[0]?.length ?? 0, height: rows.length, data };
}

describe('applyOrientation', () => {
  // EXIF 2.32, figure 5: which side of the scene the first row and the first column show.
  test.each<[Orientation, string, readonly string[]]>([
    [1, 'as stored', ['abc', 'def']],
    [2, 'mirrored left to right', ['cba', 'fed']],
    [3, 'turned by half', ['fed', 'cba']],
    [4, 'mirrored top to bottom', ['def', 'abc']],
    [5, 'mirrored at its main diagonal', ['ad', 'be', 'cf']],
    [6, 'turned to the right', ['da', 'eb', 'fc']],
    [7, 'mirrored at its other diagonal', ['fc', 'eb', 'da']],
    [8, 'turned to the left', ['cf', 'be', 'ad']],
  ])('%i is %s', (orientation, _name, rows) => {
    expect(applyOrientation(pixelsOf('abc', 'def'), orientation)).toEqual(pixelsOf(...rows));
  });
});

describe('readOrientation', () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])('reads %i in either byte order', (value) => {
    expect(readOrientation(insertExif(jpeg, { value }))).toBe(value);
    expect(readOrientation(insertExif(jpeg, { value, isLittleEndian: false }))).toBe(value);
  });

  test('finds it behind other segments and fill bytes', () => {
    const [start, rest] = [jpeg.subarray(0, 2), jpeg.subarray(2)];
    const exif = insertExif(start, { value: 6 }).subarray(2);
    expect(readOrientation(Uint8Array.of(...start, 0xff, 0xe2, 0, 3, 9, 0xff, 0xff, ...exif, ...rest))).toBe(
      6,
    );
  });

  test.each<[string, ExifParts]>([
    ['0', { value: 0 }],
    ['9', { value: 9 }],
    ['a number of another type', { value: 6, type: 4 }],
    ['two numbers', { value: 6, count: 2 }],
    ['another tag', { value: 6, tag: 0x0100 }],
    ['a directory beyond the segment', { value: 6, directory: 4_000_000_000 }],
    ['more entries than there are', { value: 6, tag: 0x0100, entries: 60_000 }],
  ])('takes %s as no orientation', (_name, parts) => {
    expect(readOrientation(insertExif(jpeg, parts))).toBe(1);
  });

  test('takes a JPEG without EXIF, or with EXIF behind its picture data, as it is stored', () => {
    expect(readOrientation(jpeg)).toBe(1);
    const exif = insertExif(jpeg.subarray(0, 2), { value: 6 }).subarray(2);
    expect(readOrientation(Uint8Array.of(...jpeg, ...exif))).toBe(1);
  });

  test('gives an orientation for any cut and any damage', () => {
    const whole = insertExif(jpeg, { value: 6 });
    const orientations = [1, 2, 3, 4, 5, 6, 7, 8];
    for (let length = 0; length <= whole.length; length += 1) {
      expect(orientations).toContain(readOrientation(whole.subarray(0, length)));
    }
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (position, value) => {
        const damaged = whole.slice();
        damaged[position] = value;
        expect(orientations).toContain(readOrientation(damaged));
      }),
    );
  });
});
