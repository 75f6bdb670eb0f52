import { MeshError } from '@nearfar/protocol';
import { gunzipExactly, gunzipHead, MAX_UNPACKED_BYTES } from './unpack.ts';

/** An IDX file of bytes: pictures or labels. */
export interface IdxArray {
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: Uint8Array;
}

/** The one element type that data sets of pictures use; IDX knows five more. */
const UNSIGNED_BYTE = 0x08;
const MAX_DIMENSIONS = 4;
const GZIP = [0x1f, 0x8b] as const;

/**
 * Reads an IDX file, plain or packed by gzip (the format of MNIST, LeCun et al.: two zeros, element type, number of
 * dimensions, then each dimension as a big-endian 32-bit number, then the elements).
 *
 * @param what the file's name for messages.
 * @throws MeshError `MESH_BAD_EVAL_DATA` when it is no IDX file of bytes, is cut off, goes on after its end, or is larger
 *   than `MAX_UNPACKED_BYTES`. The size is known from the header before anything large is unpacked.
 */
export function readIdx(file: Uint8Array, what: string): IdxArray {
  const isPacked = file[0] === GZIP[0] && file[1] === GZIP[1];
  const { shape, headerBytes } = readHeader(isPacked ? gunzipHead(file, what) : file, what);
  const sizeBytes = shape.reduce((product, dimension) => product * dimension, 1);
  if (sizeBytes === 0) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected ${what} to hold something, got shape [${shape.join(', ')}]`,
    );
  }
  if (sizeBytes > MAX_UNPACKED_BYTES) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected ${what} to hold at most ${MAX_UNPACKED_BYTES} bytes, got shape [${shape.join(', ')}]; use a part of the data`,
    );
  }
  const whole = isPacked ? gunzipExactly(file, headerBytes + sizeBytes, what) : file;
  if (whole.byteLength !== headerBytes + sizeBytes) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected ${what} to have ${headerBytes + sizeBytes} bytes for its shape [${shape.join(', ')}], got ${whole.byteLength}`,
    );
  }
  return { shape, data: whole.subarray(headerBytes) };
}

function readHeader(head: Uint8Array, what: string): { shape: number[]; headerBytes: number } {
  const [first, second, type, dimensions = 0] = head;
  if (head.byteLength < 4 || first !== 0 || second !== 0) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected ${what} to be an IDX file, which begins with two zero bytes, got something else`,
    );
  }
  if (type !== UNSIGNED_BYTE) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected ${what} to hold unsigned bytes (IDX element type 8), got element type ${type}`,
    );
  }
  if (dimensions < 1 || dimensions > MAX_DIMENSIONS) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected ${what} to have 1 to ${MAX_DIMENSIONS} dimensions, got ${dimensions}`,
    );
  }
  const headerBytes = 4 + 4 * dimensions;
  if (head.byteLength < headerBytes) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected ${what} to have ${dimensions} dimensions, but it ends within its header`,
    );
  }
  const view = new DataView(head.buffer, head.byteOffset, headerBytes);
  const shape = Array.from({ length: dimensions }, (_, axis) => view.getUint32(4 + 4 * axis));
  return { shape, headerBytes };
}
