import { MeshError } from './errors.ts';
import { LIMITS } from './limits.ts';
import { DATATYPE_BYTES, type Datatype, elementCount, type Tensor } from './tensor.ts';

type NumericDatatype = Exclude<Datatype, 'BOOL' | 'FP16' | 'BF16' | 'BYTES'>;

/** Writes one JSON number into the raw bytes, or says that it does not fit by returning false. */
const WRITE: Record<NumericDatatype, (view: DataView, offset: number, value: number | bigint) => void> = {
  UINT8: (view, offset, value) => view.setUint8(offset, Number(value)),
  UINT16: (view, offset, value) => view.setUint16(offset, Number(value), true),
  UINT32: (view, offset, value) => view.setUint32(offset, Number(value), true),
  UINT64: (view, offset, value) => view.setBigUint64(offset, BigInt(value), true),
  INT8: (view, offset, value) => view.setInt8(offset, Number(value)),
  INT16: (view, offset, value) => view.setInt16(offset, Number(value), true),
  INT32: (view, offset, value) => view.setInt32(offset, Number(value), true),
  INT64: (view, offset, value) => view.setBigInt64(offset, BigInt(value), true),
  FP32: (view, offset, value) => view.setFloat32(offset, Number(value), true),
  FP64: (view, offset, value) => view.setFloat64(offset, Number(value), true),
};

const READ: Record<NumericDatatype, (view: DataView, offset: number) => number> = {
  UINT8: (view, offset) => view.getUint8(offset),
  UINT16: (view, offset) => view.getUint16(offset, true),
  UINT32: (view, offset) => view.getUint32(offset, true),
  UINT64: (view, offset) => Number(view.getBigUint64(offset, true)),
  INT8: (view, offset) => view.getInt8(offset),
  INT16: (view, offset) => view.getInt16(offset, true),
  INT32: (view, offset) => view.getInt32(offset, true),
  INT64: (view, offset) => Number(view.getBigInt64(offset, true)),
  FP32: (view, offset) => view.getFloat32(offset, true),
  FP64: (view, offset) => view.getFloat64(offset, true),
};

/** Smallest and largest value of each integer datatype that JSON can carry exactly. */
const INTEGER_RANGE: Partial<Record<Datatype, readonly [number, number]>> = {
  UINT8: [0, 0xff],
  UINT16: [0, 0xffff],
  UINT32: [0, 0xffff_ffff],
  UINT64: [0, Number.MAX_SAFE_INTEGER],
  INT8: [-0x80, 0x7f],
  INT16: [-0x8000, 0x7fff],
  INT32: [-0x8000_0000, 0x7fff_ffff],
  INT64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
};

/** Longest part of an element that a message repeats, in characters. */
const MAX_SHOWN_LENGTH = 64;

/**
 * Reads the `data` of a JSON tensor: flat or nested up to `LIMITS.maxRank` deep, row-major.
 *
 * @throws MeshError `MESH_BAD_TENSOR` when the depth, the number of elements, an element's type or its range does not
 * fit.
 */
export function tensorFromJson(
  name: string,
  datatype: Datatype,
  shape: readonly number[],
  data: readonly unknown[],
): Tensor {
  if (datatype === 'FP16' || datatype === 'BF16') {
    throw new MeshError(
      'MESH_BAD_TENSOR',
      `Tensor "${name}" is ${datatype}, which JSON cannot carry; send it by the binary extension`,
    );
  }
  const expected = elementCount(shape);
  const values: unknown[] = [];
  flatten(data, 1, values, expected, name, shape);
  if (values.length !== expected) {
    throw new MeshError(
      'MESH_BAD_TENSOR',
      `Expected tensor "${name}" of shape [${shape.join(', ')}] to hold ${expected} elements, got ${values.length}`,
    );
  }
  if (datatype === 'BYTES') return { name, datatype, shape, data: encodeStrings(name, values) };

  const bytes = new Uint8Array(expected * DATATYPE_BYTES[datatype]);
  if (datatype === 'BOOL') writeBooleans(name, values, bytes);
  else writeNumbers(name, datatype, values, bytes);
  return { name, datatype, shape, data: bytes };
}

function writeBooleans(name: string, values: readonly unknown[], bytes: Uint8Array): void {
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index];
    if (typeof value !== 'boolean' && value !== 0 && value !== 1)
      throw badElement(name, 'BOOL', index, value);
    bytes[index] = value ? 1 : 0;
  }
}

/** A plain loop: a JSON tensor may have a million elements, and is read on the server's own thread. */
function writeNumbers(
  name: string,
  datatype: NumericDatatype,
  values: readonly unknown[],
  bytes: Uint8Array<ArrayBuffer>,
): void {
  const view = new DataView(bytes.buffer);
  const range = INTEGER_RANGE[datatype];
  const size = DATATYPE_BYTES[datatype];
  const write = WRITE[datatype];
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index];
    if (typeof value !== 'number' || !Number.isFinite(value)) throw badElement(name, datatype, index, value);
    if (range !== undefined && (!Number.isInteger(value) || value < range[0] || value > range[1])) {
      throw badElement(name, datatype, index, value);
    }
    if (datatype === 'FP32' && !Number.isFinite(Math.fround(value))) {
      throw badElement(name, datatype, index, value);
    }
    write(view, index * size, value);
  }
}

/**
 * The `data` of a JSON tensor, flat. 64-bit integers beyond 2^53 lose precision, as JSON numbers do: ask for binary.
 *
 * @throws MeshError `MESH_BAD_TENSOR` for FP16 and BF16, `MESH_EXECUTION_FAILED` for an element that is no finite
 * number: JSON cannot carry them.
 */
export function tensorToJson(tensor: Tensor): unknown[] {
  const { name, datatype, data } = tensor;
  if (datatype === 'FP16' || datatype === 'BF16') {
    throw new MeshError(
      'MESH_BAD_TENSOR',
      `Tensor "${name}" is ${datatype}, which JSON cannot carry; ask for "binary_data": true`,
    );
  }
  if (datatype === 'BYTES') return decodeStrings(data);
  if (datatype === 'BOOL') return Array.from(data, (byte) => byte !== 0);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const size = DATATYPE_BYTES[datatype];
  const values = new Array<number>(data.byteLength / size);
  for (let index = 0; index < values.length; index += 1) {
    const value = READ[datatype](view, index * size);
    if (!Number.isFinite(value)) {
      throw new MeshError(
        'MESH_EXECUTION_FAILED',
        `Element ${index} of tensor "${name}" is ${value}, which JSON cannot carry; ask for "binary_data": true`,
      );
    }
    values[index] = value;
  }
  return values;
}

function flatten(
  data: readonly unknown[],
  depth: number,
  into: unknown[],
  limit: number,
  name: string,
  shape: readonly number[],
): void {
  if (depth > LIMITS.maxRank) {
    throw new MeshError(
      'MESH_BAD_TENSOR',
      `Expected the data of tensor "${name}" to be nested at most ${LIMITS.maxRank} deep, got more`,
    );
  }
  for (const value of data) {
    if (Array.isArray(value)) flatten(value, depth + 1, into, limit, name, shape);
    else into.push(value);
    if (into.length > limit) {
      throw new MeshError(
        'MESH_BAD_TENSOR',
        `Expected tensor "${name}" of shape [${shape.join(', ')}] to hold ${limit} elements, got more`,
      );
    }
  }
}

function badElement(name: string, datatype: Datatype, index: number, value: unknown): MeshError {
  return new MeshError(
    'MESH_BAD_TENSOR',
    `Expected element ${index} of tensor "${name}" to be a ${datatype}, got ${describeElement(value)}`,
  );
}

/** An element for a message: short, whatever the caller sent, and without walking into it. */
function describeElement(value: unknown): string {
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = JSON.stringify(value) ?? typeof value;
  return text.length <= MAX_SHOWN_LENGTH ? text : `${text.slice(0, MAX_SHOWN_LENGTH)}…`;
}

function encodeStrings(name: string, values: readonly unknown[]): Uint8Array {
  const encoder = new TextEncoder();
  const parts = values.map((value, index) => {
    if (typeof value !== 'string') throw badElement(name, 'BYTES', index, value);
    return encoder.encode(value);
  });
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.byteLength, 0));
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const part of parts) {
    view.setUint32(offset, part.byteLength, true);
    bytes.set(part, offset + 4);
    offset += 4 + part.byteLength;
  }
  return bytes;
}

function decodeStrings(data: Uint8Array): string[] {
  const decoder = new TextDecoder();
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const values: string[] = [];
  for (let offset = 0; offset < data.byteLength; ) {
    const length = view.getUint32(offset, true);
    values.push(decoder.decode(data.subarray(offset + 4, offset + 4 + length)));
    offset += 4 + length;
  }
  return values;
}
