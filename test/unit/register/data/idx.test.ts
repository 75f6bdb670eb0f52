import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { readIdx } from '../../../../register/src/data/idx.ts';
import { badData, idx } from './builders.ts';

const small = idx([2, 1, 3], [1, 2, 3, 4, 5, 6]);

describe('IDX', () => {
  test.each([
    ['plain', small],
    ['packed by gzip', gzipSync(small)],
  ])('%s gives shape and bytes', (_, file) => {
    const { shape, data } = readIdx(file, '"a.idx"');
    expect(shape).toEqual([2, 1, 3]);
    expect([...data]).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test('a packed one larger than what is unpacked for its header is read whole', () => {
    const bytes = Uint8Array.from({ length: 300_000 }, (_, index) => (index * 2_654_435_761) >>> 24);
    const { data } = readIdx(gzipSync(idx([300, 1_000], bytes)), '"a.idx"');
    expect(Buffer.compare(data, bytes)).toBe(0);
  });

  test.each([
    ['text', Buffer.from('label,value\n'), 'Expected "a.idx" to be an IDX file'],
    ['an empty file', new Uint8Array(), 'Expected "a.idx" to be an IDX file'],
    ['packed text', gzipSync('label,value\n'), 'Expected "a.idx" to be an IDX file'],
    [
      'floats',
      idx([1], [0, 0, 0, 0], 0x0d),
      'to hold unsigned bytes (IDX element type 8), got element type 13',
    ],
    ['no dimensions', idx([], []), 'to have 1 to 4 dimensions, got 0'],
    ['many dimensions', idx([1, 1, 1, 1, 1], [1]), 'to have 1 to 4 dimensions, got 5'],
    ['a header that is cut off', small.subarray(0, 9), 'it ends within its header'],
    ['no elements', idx([0, 28, 28], []), 'to hold something, got shape [0, 28, 28]'],
    ['elements that are cut off', small.subarray(0, 20), 'to have 22 bytes for its shape [2, 1, 3], got 20'],
    ['elements after the end', idx([2], [1, 2, 3]), 'to have 10 bytes for its shape [2], got 11'],
    ['a packed file that is cut off', gzipSync(small).subarray(0, -9), 'is damaged or cut off'],
    ['a packed file that holds too little', gzipSync(small.subarray(0, 20)), 'to unpack to 22 bytes'],
    ['a shape that no memory holds', idx([0xffff_ffff, 0xffff_ffff], []), 'to hold at most 1073741824 bytes'],
    ['no gzip after its first bytes', Uint8Array.of(0x1f, 0x8b, 1, 2, 3), 'is damaged or cut off'],
  ])('%s is refused', (_, file, message) => {
    expect(() => readIdx(file, '"a.idx"')).toThrow(badData(message));
  });

  test('a bomb is left alone as soon as there is more than its header says', () => {
    const bomb = gzipSync(Buffer.concat([idx([1], [7]), Buffer.alloc(64 * 1024 * 1024)]));
    expect(bomb.byteLength).toBeLessThan(100_000);
    expect(() => readIdx(bomb, '"a.idx"')).toThrow(badData('unpacks to more bytes than its header says'));
  });
});
