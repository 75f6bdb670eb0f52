import { deflateRawSync } from 'node:zlib';
import { tensorValues } from '@nearfar/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readNpy } from '../../../../register/src/data/npy.ts';
import { openNpz } from '../../../../register/src/data/npz.ts';
import { badData, npy, npz } from './builders.ts';

const base64 = (text: string) => new Uint8Array(Buffer.from(text, 'base64'));

/** Written by NumPy 2.4.6: `x` = [[0, 1], [2, 3]] as float32, `y` = [1, 0] as int64. */
const SAVEZ = base64(
  'UEsDBC0AAAAAAAAAIQCR9Ofb//////////8FABQAeC5ucHkBABAAkAAAAAAAAACQAAAAAAAAAJNOVU1QWQEAdgB7J2Rlc2NyJzogJzxmNCcsICdmb3J0cmFuX29yZGVyJzogRmFsc2UsICdzaGFwZSc6ICgyLCAyKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAKAAAAAAAAgD8AAABAAABAQFBLAwQtAAAAAAAAACEAcfs5q///////////BQAUAHkubnB5AQAQAJAAAAAAAAAAkAAAAAAAAACTTlVNUFkBAHYAeydkZXNjcic6ICc8aTgnLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoMiwpLCB9ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgCgEAAAAAAAAAAAAAAAAAAABQSwECLQMtAAAAAAAAACEAkfTn25AAAACQAAAABQAAAAAAAAAAAAAAgAEAAAAAeC5ucHlQSwECLQMtAAAAAAAAACEAcfs5q5AAAACQAAAABQAAAAAAAAAAAAAAgAHHAAAAeS5ucHlQSwUGAAAAAAIAAgBmAAAAjgEAAAAA',
);
const SAVEZ_COMPRESSED = base64(
  'UEsDBC0AAAAIAAAAIQCR9Ofb//////////8FABQAeC5ucHkBABAAkAAAAAAAAABQAAAAAAAAAJvsF+obEMnIUMZQrZ6SWpxcpG6loG6TZqKuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5GkY6CkaaOgq1CmQDLgYwaLAHEg5A5AAAUEsDBC0AAAAIAAAAIQBx+zmr//////////8FABQAeS5ucHkBABAAkAAAAAAAAABIAAAAAAAAAJvsF+obEMnIUMZQrZ6SWpxcpG6loG6TaaGuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5GkY6mjoKtQoUAC5GBlQAAFBLAQItAy0AAAAIAAAAIQCR9OfbUAAAAJAAAAAFAAAAAAAAAAAAAACAAQAAAAB4Lm5weVBLAQItAy0AAAAIAAAAIQBx+zmrSAAAAJAAAAAFAAAAAAAAAAAAAACAAYcAAAB5Lm5weVBLBQYAAAAAAgACAGYAAAAGAQAAAAA=',
);
/** Version 2, column-major and big-endian: [[1, 2, 3], [4, 5, 6]] as int16. */
const FOREIGN = base64(
  'k05VTVBZAgB0AAAAeydkZXNjcic6ICc+aTInLCAnZm9ydHJhbl9vcmRlcic6IFRydWUsICdzaGFwZSc6ICgyLCAzKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAQAEAAIABQADAAY=',
);

const valuesIn = (file: Uint8Array) => Array.from<number | bigint>(tensorValues(readNpy(file, 'a')));

describe('.npy', () => {
  test('is read as NumPy wrote it: other byte order, columns first, version 2', () => {
    const { shape, datatype } = readNpy(FOREIGN, 'a');
    expect([datatype, shape]).toEqual(['INT16', [2, 3]]);
    expect(valuesIn(FOREIGN)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test.each([
    ['|b1', Uint8Array.of(1, 0), 'BOOL', [1, 0]],
    ['|u1', Uint8Array.of(255, 0), 'UINT8', [255, 0]],
    ['|i1', Int8Array.of(-1, 1), 'INT8', [-1, 1]],
    ['<u2', Uint16Array.of(65_535, 1), 'UINT16', [65_535, 1]],
    ['<i4', Int32Array.of(-70_000, 1), 'INT32', [-70_000, 1]],
    ['<u4', Uint32Array.of(4_000_000_000, 1), 'UINT32', [4_000_000_000, 1]],
    ['<i8', BigInt64Array.of(-(2n ** 62n), 1n), 'INT64', [-(2n ** 62n), 1n]],
    ['<u8', BigUint64Array.of(2n ** 63n, 1n), 'UINT64', [2n ** 63n, 1n]],
    ['<f2', Uint16Array.of(0x3c00, 0xc000), 'FP16', [1, -2]],
    ['<f4', Float32Array.of(0.5, -2), 'FP32', [0.5, -2]],
    ['<f8', Float64Array.of(0.1, -2), 'FP64', [0.1, -2]],
    ['>f4', Uint8Array.of(0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0), 'FP32', [1, -2]],
  ] as const)('%s is known', (descr, elements, datatype, values) => {
    const file = npy(descr, [2], elements, { version: 3 });
    expect(readNpy(file, 'a')).toMatchObject({ datatype, shape: [2] });
    expect(valuesIn(file)).toEqual(values);
  });

  test('a single number has no dimensions', () => {
    expect(readNpy(npy('<f4', [], Float32Array.of(3)), 'a').shape).toEqual([]);
  });

  test('columns first or rows first: the elements come out the same', () => {
    const shapes = fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(shapes, (shape) => {
        const count = shape.reduce((product, dimension) => product * dimension, 1);
        const rowMajor = Int32Array.from({ length: count }, (_, index) => index * 7);
        const columnMajor = new Int32Array(count);
        // The position of each element by the definition of both orders.
        for (let index = 0; index < count; index += 1) {
          let rest = index;
          const position = shape
            .toReversed()
            .map((dimension) => {
              const at = rest % dimension;
              rest = Math.floor(rest / dimension);
              return at;
            })
            .reverse();
          let target = 0;
          for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
            target = target * (shape[axis] ?? 0) + (position[axis] ?? 0);
          }
          columnMajor[target] = rowMajor[index] ?? 0;
        }
        const expected = [...rowMajor];
        expect(valuesIn(npy('<i4', shape, rowMajor))).toEqual(expected);
        expect(valuesIn(npy('<i4', shape, columnMajor, { isFortran: true }))).toEqual(expected);
      }),
    );
  });

  const good = new Uint8Array(npy('<f4', [2], Float32Array.of(1, 2)));
  const withByte = (offset: number, byte: number) => good.slice().fill(byte, offset, offset + 1);
  test.each([
    ['something else', Buffer.from('x,y\n1,2\n3,4\n'), 'to be a .npy file'],
    ['version 4', withByte(6, 4), 'in version 1 to 3 of the .npy format, got version 4'],
    [
      'a header beyond the file',
      withByte(9, 0x20),
      'to have a header of at most 10000 bytes within the file',
    ],
    ['pickled objects', npy('|O', [2], new Uint8Array(8)), `NumPy's element type '|O'`],
    ['text', npy('<U3', [2], new Uint8Array(24)), `NumPy's element type '<U3'`],
    ['complex numbers', npy('<c8', [2], new Uint8Array(16)), `NumPy's element type '<c8'`],
    ['records', npy("[('a', '<f4')]", [2], new Uint8Array(8)), `NumPy's element type [('a'`],
    ['a negative dimension', npy('<f4', [-1], new Uint8Array(8)), 'to say its shape and order'],
    ['elements that are cut off', good.subarray(0, -1), 'of shape [2] (FP32) to have 8 bytes, got 7'],
    ['elements after the end', npy('<f4', [1], Float32Array.of(1, 2)), 'to have 4 bytes, got 8'],
    ['a shape that no memory holds', npy('<f4', [2 ** 40, 2 ** 40], new Uint8Array(4)), 'got 4'],
    ['17 dimensions', npy('<f4', Array(17).fill(1), Float32Array.of(1)), 'at most 16 dimensions, got 17'],
  ])('%s is refused', (_, file, message) => {
    expect(() => readNpy(file, 'a')).toThrow(badData(message));
  });

  test('any bytes give a tensor or the error for bad data', () => {
    const damaged = fc
      .tuple(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length))
      .map(([offset, byte, end]) => withByte(offset, byte).subarray(0, end));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), damaged), (bytes) => {
        try {
          tensorValues(readNpy(bytes, 'a'));
        } catch (error) {
          expect(error).toMatchObject({ code: 'MESH_BAD_EVAL_DATA' });
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('.npz', () => {
  test.each([
    ['savez', SAVEZ],
    ['savez_compressed', SAVEZ_COMPRESSED],
  ])('is read as %s wrote it', (_, file) => {
    const arrays = openNpz(file, '"a.npz"');
    expect(arrays.names).toEqual(['x', 'y']);
    const [x, y] = [arrays.read('x'), arrays.read('y')];
    expect(x).toMatchObject({ name: 'x', datatype: 'FP32', shape: [2, 2] });
    expect(x && [...tensorValues(x)]).toEqual([0, 1, 2, 3]);
    expect(y && [...tensorValues(y)]).toEqual([1n, 0n]);
    expect(arrays.read('z')).toBeUndefined();
  });

  test('what is no array is passed over', () => {
    const file = npz({
      x: npy('<f4', [1], Float32Array.of(1)),
      'notes.txt/../y': npy('<f4', [0], new Uint8Array()),
    });
    expect(openNpz(file, '"a.npz"').names).toEqual(['x', 'notes.txt/../y']);
  });

  test.each([
    ['text', Buffer.from('x,y\n'), 'Expected "a.npz" to be a .npz file, as numpy.savez writes it'],
    ['a single .npy', npy('<f4', [1], Float32Array.of(1)), 'to be a .npz file, as numpy.savez writes it'],
    ['an empty archive', npz({}), 'to hold arrays (.npy), found none'],
    ['one that is cut off', SAVEZ_COMPRESSED.subarray(0, 80), '"a.npz" is damaged or cut off'],
    [
      'too many entries',
      npz(Object.fromEntries(Array.from({ length: 257 }, (_, index) => [`a${index}`, Uint8Array.of(1)]))),
      'Expected at most 256 files in "a.npz", got more',
    ],
    [
      'two arrays of one name',
      Buffer.concat([SAVEZ.subarray(0, 199), SAVEZ]),
      'Expected array "x" once in "a.npz", got it again',
    ],
  ])('%s is refused', (_, file, message) => {
    expect(() => openNpz(file, '"a.npz"')).toThrow(badData(message));
  });

  /** An archive of one entry whose header may lie. */
  function archive(packed: Uint8Array, sizeBytes: number, compression = 8): Uint8Array {
    const name = Buffer.from('x.npy');
    const header = Buffer.alloc(30);
    header.writeUInt32LE(0x04034b50, 0);
    header.writeUInt16LE(compression, 8);
    header.writeUInt32LE(packed.byteLength, 18);
    header.writeUInt32LE(sizeBytes, 22);
    header.writeUInt16LE(name.byteLength, 26);
    return Buffer.concat([header, name, packed]);
  }
  const array = npy('|u1', [1_000], new Uint8Array(1_000));
  const read = (file: Uint8Array) => () => openNpz(file, '"a.npz"').read('x');

  test('the archives of these tests are read when they do not lie', () => {
    expect(read(archive(deflateRawSync(array), array.byteLength))()).toMatchObject({ shape: [1_000] });
    expect(read(archive(array, array.byteLength, 0))()).toMatchObject({ shape: [1_000] });
  });

  const bomb = deflateRawSync(Buffer.alloc(128 * 1024 * 1024));
  test.each([
    [
      'a bomb that says so',
      archive(bomb, 2 ** 31),
      'to unpack to at most 1073741824 bytes, its header says 2147483648',
    ],
    ['a bomb that says less', archive(bomb, 1_000), 'unpacks to more bytes than its header says'],
    ['an entry that cannot be so large', archive(deflateRawSync(array), 1_000_000), 'packed bytes cannot'],
    [
      'an entry that holds less',
      archive(deflateRawSync(array), 2_000),
      'to unpack to 2000 bytes, as its header says, got',
    ],
    ['a stored entry of another size', archive(array, 1_000, 0), 'packed bytes cannot'],
    ['an entry that is no DEFLATE', archive(Buffer.alloc(100, 0xff), 1_000), 'is damaged or cut off'],
    ['another compression', archive(array, 1_000, 14), 'to be stored or deflated, got compression method 14'],
  ])('%s is refused', (_, file, message) => {
    expect(read(file)).toThrow(badData(message));
  });

  test('all arrays together are bounded', () => {
    const file = npz({ x: array, y: array });
    const arrays = openNpz(file, '"a.npz"', 2 * array.byteLength - 1);
    expect(arrays.read('x')).toMatchObject({ shape: [1_000] });
    expect(() => arrays.read('y')).toThrow(
      badData(`Expected array "y" in "a.npz" to unpack to at most ${array.byteLength - 1} bytes`),
    );
  });

  test('any damage gives arrays or the error for bad data', () => {
    const damage = fc.tuple(fc.nat(SAVEZ_COMPRESSED.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(damage, { minLength: 1, maxLength: 4 }), (damages) => {
        const file = SAVEZ_COMPRESSED.slice();
        for (const [offset, byte] of damages) file[offset] = byte;
        try {
          const arrays = openNpz(file, '"a.npz"');
          for (const name of arrays.names) arrays.read(name);
        } catch (error) {
          expect(error).toMatchObject({ code: 'MESH_BAD_EVAL_DATA' });
        }
      }),
      { numRuns: 500 },
    );
  });
});
