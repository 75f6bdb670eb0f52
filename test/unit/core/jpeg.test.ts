import { readJpeg } from '@nearfar/core/jpeg';
import { LIMITS } from '@nearfar/protocol';
import { encode } from 'jpeg-js';
import { describe, expect, test } from 'vitest';
import { insertExif } from '../../support/exif.ts';

/** A picture whose left half is red and whose right half is blue. */
function jpeg(width: number, height: number): Uint8Array {
  const data = new Uint8Array(width * height * 4);
  for (let pixel = 0; pixel < width * height; pixel += 1) {
    data.set(pixel % width < width / 2 ? [255, 0, 0, 255] : [0, 0, 255, 255], pixel * 4);
  }
  return encode({ width, height, data }, 100).data;
}

/** The JPEG with another size in its frame header (ITU-T T.81, B.2.2). */
function claiming(file: Uint8Array, width: number, height: number): Uint8Array {
  const changed = Uint8Array.from(file);
  const frame = changed.findIndex((byte, index) => byte === 0xff && changed[index + 1] === 0xc0);
  new DataView(changed.buffer).setUint16(frame + 5, height);
  new DataView(changed.buffer).setUint16(frame + 7, width);
  return changed;
}

describe('readJpeg', () => {
  test('gives opaque pixels, nearly those that were stored', () => {
    const { width, height, data } = readJpeg(jpeg(32, 16));
    expect([width, height, data.length]).toEqual([32, 16, 32 * 16 * 4]);
    const [left, right] = [Array.from(data.slice(0, 4)), Array.from(data.slice(31 * 4, 32 * 4))];
    for (const [index, value] of [255, 0, 0, 255].entries()) expect(left[index]).toBeCloseTo(value, -1);
    for (const [index, value] of [0, 0, 255, 255].entries()) expect(right[index]).toBeCloseTo(value, -1);
  });

  test('turns the picture as its EXIF data says', () => {
    const { width, height, data } = readJpeg(insertExif(jpeg(32, 16), { value: 6 }));
    expect([width, height]).toEqual([16, 32]);
    // Turned to the right, what was left is on top.
    expect(data[0]).toBeGreaterThan(200);
    expect(data[(31 * 16 + 8) * 4 + 2]).toBeGreaterThan(200);
  });

  test.each([
    ['nothing', new Uint8Array(0), /signature/],
    ['another format', Uint8Array.of(0x89, 0x50, 0x4e, 0x47), /signature/],
    ['a file that ends after its start', Uint8Array.of(0xff, 0xd8), /no readable JPEG/],
    [
      'more pixels than a request may have',
      claiming(jpeg(8, 8), 65_535, Math.ceil(LIMITS.maxImagePixels / 65_535) + 1),
      /no readable JPEG/,
    ],
  ])('refuses %s', (_name, file, message) => {
    expect(() => readJpeg(file)).toThrow(
      expect.objectContaining({ code: 'MESH_BAD_MEDIA', message: expect.stringMatching(message) }),
    );
  });
});
