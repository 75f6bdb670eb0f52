import { type ImagePreprocess, MeshError, type TensorSignature } from '@nearfar/protocol';
import { encode as encodePng } from 'fast-png';
import { type Zippable, zipSync } from 'fflate';
import { encode as encodeJpeg } from 'jpeg-js';
import { expect } from 'vitest';
import type { SourceFiles } from '../../../../register/src/source-files.ts';

/** Files in memory. */
export function memoryFiles(files: Readonly<Record<string, Uint8Array>>): SourceFiles {
  const known = new Map(Object.entries(files));
  return {
    sizeOf: async (path) => known.get(path)?.byteLength,
    read: async (path) => {
      const file = known.get(path);
      if (file === undefined) throw new MeshError('MESH_BAD_MANIFEST', `No file "${path}"`);
      return file;
    },
    list: async (folder) => [...known.keys()].filter((path) => path.startsWith(`${folder}/`)).sort(),
  };
}

/** An IDX file of bytes. */
export function idx(shape: readonly number[], data: Iterable<number>, type = 8): Uint8Array {
  const header = new DataView(new ArrayBuffer(4 + 4 * shape.length));
  header.setUint8(2, type);
  header.setUint8(3, shape.length);
  for (const [axis, dimension] of shape.entries()) header.setUint32(4 + 4 * axis, dimension);
  return Buffer.concat([new Uint8Array(header.buffer), Uint8Array.from(data)]);
}

/** A `.npy` file. */
export function npy(
  descr: string,
  shape: readonly number[],
  elements: ArrayBufferView,
  { version = 1, isFortran = false }: { version?: number; isFortran?: boolean } = {},
): Uint8Array {
  const dimensions = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const type = descr.startsWith('[') ? descr : `'${descr}'`;
  const text = `{'descr': ${type}, 'fortran_order': ${isFortran ? 'True' : 'False'}, 'shape': (${dimensions}), }`;
  const start = version === 1 ? 10 : 12;
  const header = Buffer.from(`${text.padEnd(64 * Math.ceil((start + text.length + 1) / 64) - start - 1)}\n`);
  const prefix = Buffer.alloc(start);
  prefix.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0]);
  if (version === 1) prefix.writeUInt16LE(header.byteLength, 8);
  else prefix.writeUInt32LE(header.byteLength, 8);
  return Buffer.concat([
    prefix,
    header,
    new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength),
  ]);
}

/** A `.npz` file of arrays by name. */
export function npz(arrays: Readonly<Record<string, Uint8Array>>, level: 0 | 6 = 6): Uint8Array {
  const entries: Zippable = {};
  for (const [name, bytes] of Object.entries(arrays)) entries[`${name}.npy`] = [bytes, { level }];
  return zipSync(entries);
}

/** A picture of one colour as a PNG or JPEG file. */
export function picture(
  format: 'png' | 'jpeg',
  [red, green, blue]: readonly [number, number, number],
  side = 8,
): Uint8Array {
  const data = new Uint8Array(side * side * 4);
  for (let offset = 0; offset < data.length; offset += 4) data.set([red, green, blue, 255], offset);
  if (format === 'png') return encodePng({ width: side, height: side, data, channels: 4, depth: 8 });
  return encodeJpeg({ width: side, height: side, data: Buffer.from(data) }, 100).data;
}

/** Pictures become 2 × 2 values from 0 to 1. */
export const GREY: ImagePreprocess = {
  kind: 'image',
  input: 'image',
  width: 2,
  height: 2,
  channels: 'grayscale',
  layout: 'NCHW',
  invert: 'never',
  center: 'box',
  mean: [0],
  std: [1],
};
export const RGB: ImagePreprocess = { ...GREY, channels: 'rgb' };

export const GREY_INPUT: TensorSignature = { name: 'image', datatype: 'FP32', shape: [-1, 1, 2, 2] };
export const RGB_INPUT: TensorSignature = { name: 'image', datatype: 'FP32', shape: [-1, 3, 2, 2] };

/** Matches the error of bad data whose message has this part. */
export function badData(message: string): Error {
  return expect.objectContaining({
    code: 'MESH_BAD_EVAL_DATA',
    message: expect.stringContaining(message),
  }) as Error;
}
