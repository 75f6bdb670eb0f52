import {
  DATATYPE_BYTES,
  type Datatype,
  elementCount,
  LIMITS,
  MeshError,
  type Tensor,
} from '@nearfar/protocol';

/** 0x93 and "NUMPY". */
const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59] as const;
/** Longest header that is read, in bytes; NumPy's own limit. */
const MAX_HEADER_BYTES = 10_000;

/** Kind and size of NumPy's element types. */
const DATATYPES: ReadonlyMap<string, Datatype> = new Map([
  ['b1', 'BOOL'],
  ['u1', 'UINT8'],
  ['u2', 'UINT16'],
  ['u4', 'UINT32'],
  ['u8', 'UINT64'],
  ['i1', 'INT8'],
  ['i2', 'INT16'],
  ['i4', 'INT32'],
  ['i8', 'INT64'],
  ['f2', 'FP16'],
  ['f4', 'FP32'],
  ['f8', 'FP64'],
]);

interface Header {
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly isBigEndian: boolean;
  readonly isFortranOrder: boolean;
  /** Where the elements begin. */
  readonly offset: number;
}

/**
 * Reads a `.npy` file of numbers (NumPy Enhancement Proposal 1, versions 1 to 3 of the format): a tensor in row-major order
 * and little-endian, whatever the file has. Pickled objects are never read.
 *
 * @param name the array's name.
 * @throws MeshError `MESH_BAD_EVAL_DATA` when it is no such file or its size does not fit its shape.
 */
export function readNpy(file: Uint8Array, name: string): Tensor {
  const { datatype, shape, isBigEndian, isFortranOrder, offset } = readHeader(file, name);
  const size = DATATYPE_BYTES[datatype];
  const expectedBytes = elementCount(shape) * size;
  const foundBytes = file.byteLength - offset;
  // A shape of large numbers whose product is no safe integer never equals a size that is there.
  if (foundBytes !== expectedBytes) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected array "${name}" of shape [${shape.join(', ')}] (${datatype}) to have ${expectedBytes} bytes, got ${foundBytes}`,
    );
  }
  let data = file.subarray(offset);
  if (isBigEndian && size > 1) data = byteSwapped(data, size);
  if (isFortranOrder && shape.length > 1) data = toRowMajor(data, shape, size);
  return { name, datatype, shape, data };
}

function readHeader(file: Uint8Array, name: string): Header {
  const fail = (expected: string, found: string) =>
    new MeshError('MESH_BAD_EVAL_DATA', `Expected array "${name}" ${expected}, got ${found}`);

  if (file.byteLength < 12 || !MAGIC.every((byte, index) => file[index] === byte)) {
    throw fail('to be a .npy file', 'something else');
  }
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const version = file[6] ?? 0;
  if (version < 1 || version > 3) throw fail('in version 1 to 3 of the .npy format', `version ${version}`);
  const start = version === 1 ? 10 : 12;
  const headerBytes = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (headerBytes > MAX_HEADER_BYTES || start + headerBytes > file.byteLength) {
    throw fail(
      `to have a header of at most ${MAX_HEADER_BYTES} bytes within the file`,
      `${headerBytes} bytes`,
    );
  }
  // Names of fields, the only part that may go beyond ASCII, are not read.
  const header = new TextDecoder().decode(file.subarray(start, start + headerBytes));

  const descriptor = /'descr'\s*:\s*'([<>|=])([a-zA-Z]\d+)'/.exec(header);
  const datatype = DATATYPES.get(descriptor?.[2] ?? '');
  if (datatype === undefined) {
    const found = /'descr'\s*:\s*([^,}\]]*)/.exec(header)?.[1]?.trim() ?? 'none';
    throw fail('to hold booleans, integers or floats', `NumPy's element type ${found}`);
  }
  const order = /'fortran_order'\s*:\s*(True|False)/.exec(header)?.[1];
  const dimensions = /'shape'\s*:\s*\(([\d,\s]*)\)/.exec(header)?.[1];
  if (order === undefined || dimensions === undefined) {
    throw fail('to say its shape and order', `the header ${header.slice(0, 200).trim()}`);
  }
  const shape = dimensions
    .split(',')
    .filter((dimension) => dimension.trim() !== '')
    .map(Number);
  if (shape.length > LIMITS.maxRank)
    throw fail(`to have at most ${LIMITS.maxRank} dimensions`, `${shape.length}`);
  return {
    datatype,
    shape,
    isBigEndian: descriptor?.[1] === '>',
    isFortranOrder: order === 'True',
    offset: start + headerBytes,
  };
}

function byteSwapped(data: Uint8Array, size: number): Uint8Array {
  const swapped = new Uint8Array(data);
  for (let offset = 0; offset < swapped.byteLength; offset += size) {
    swapped.subarray(offset, offset + size).reverse();
  }
  return swapped;
}

/** Elements that lie with the first axis next to each other, put so that the last one does. */
function toRowMajor(data: Uint8Array, shape: readonly number[], size: number): Uint8Array {
  const target = new Uint8Array(data.byteLength);
  const strides: number[] = [];
  let stride = size;
  for (const dimension of shape) {
    strides.push(stride);
    stride *= dimension;
  }
  const position = shape.map(() => 0);
  let source = 0;
  for (let offset = 0; offset < target.byteLength; offset += size) {
    for (let byte = 0; byte < size; byte += 1) target[offset + byte] = data[source + byte] ?? 0;
    // One element on, the last axis first, as in row-major order.
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      const along = strides[axis] ?? 0;
      position[axis] = (position[axis] ?? 0) + 1;
      source += along;
      if ((position[axis] ?? 0) < (shape[axis] ?? 0)) break;
      source -= along * (shape[axis] ?? 0);
      position[axis] = 0;
    }
  }
  return target;
}
