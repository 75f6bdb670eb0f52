import { MeshError } from './errors.ts';
import { LIMITS } from './limits.ts';

/** Bytes of one element; 0 for BYTES, whose elements carry their own length. */
export const DATATYPE_BYTES = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  BF16: 2,
  FP32: 4,
  FP64: 8,
  BYTES: 0,
} as const;

/** The tensor datatypes of the Open Inference Protocol. */
export type Datatype = keyof typeof DATATYPE_BYTES;
export const DATATYPES = Object.keys(DATATYPE_BYTES) as [Datatype, ...Datatype[]];

/**
 * A tensor as it travels: raw little-endian elements in row-major order. `data` is a view; whoever holds a tensor
 * may read it but must not write to it.
 */
export interface Tensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** Name, datatype and shape of an input or output; -1 stands for a dimension of any size. */
export interface TensorSignature {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
}

/** Number of elements of a shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const dimension of shape) count *= dimension;
  return count;
}

/** Makes an FP32 tensor over `values` without copying them. */
export function float32Tensor(name: string, shape: readonly number[], values: Float32Array): Tensor {
  return {
    name,
    datatype: 'FP32',
    shape,
    data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  };
}

/**
 * The elements of an FP32 tensor. A view when the bytes are 4-byte aligned, as every tensor of ours is; a copy when
 * a foreign client sent them unaligned.
 */
export function float32Values(tensor: Tensor): Float32Array {
  if (tensor.datatype !== 'FP32') {
    throw new MeshError(
      'MESH_BAD_TENSOR',
      `Expected tensor "${tensor.name}" to be FP32, got ${tensor.datatype}`,
    );
  }
  const { buffer, byteOffset, byteLength } = aligned(tensor.data, 4);
  return new Float32Array(buffer, byteOffset, byteLength / 4);
}

/** `bytes` itself when its start is a multiple of `alignment`, else a copy that is. */
export function aligned(bytes: Uint8Array, alignment: number): Uint8Array {
  // Not `slice`, which in Node's buffers gives a view of the same bytes.
  return bytes.byteOffset % alignment === 0 ? bytes : new Uint8Array(bytes);
}

/**
 * Checks that the tensor's bytes fit its datatype and shape.
 *
 * @throws MeshError `MESH_BAD_TENSOR`, naming the tensor, what was expected and what was found.
 */
export function checkTensor(tensor: Tensor): void {
  const { name, datatype, shape, data } = tensor;
  if (shape.length > LIMITS.maxRank) {
    throw new MeshError(
      'MESH_BAD_TENSOR',
      `Expected tensor "${name}" to have at most ${LIMITS.maxRank} dimensions, got ${shape.length}`,
    );
  }
  for (const dimension of shape) {
    if (!Number.isSafeInteger(dimension) || dimension < 0) {
      throw new MeshError(
        'MESH_BAD_TENSOR',
        `Expected the shape of tensor "${name}" to hold whole numbers from 0, got [${shape.join(', ')}]`,
      );
    }
  }
  const elements = elementCount(shape);
  if (datatype === 'BYTES') {
    const found = bytesElementCount(data);
    if (found !== elements) {
      throw new MeshError(
        'MESH_BAD_TENSOR',
        `Expected tensor "${name}" of shape [${shape.join(', ')}] to hold ${elements} BYTES elements, got ${found ?? 'a truncated one'}`,
      );
    }
    return;
  }
  const expectedBytes = elements * DATATYPE_BYTES[datatype];
  if (data.byteLength !== expectedBytes) {
    throw new MeshError(
      'MESH_BAD_TENSOR',
      `Expected tensor "${name}" (${datatype}, shape [${shape.join(', ')}]) to have ${expectedBytes} bytes, got ${data.byteLength}`,
    );
  }
}

/**
 * Checks tensors against a model's signature: the same names, each once, the same datatypes and ranks, every fixed
 * dimension equal.
 *
 * @throws MeshError `MESH_BAD_TENSOR`.
 */
export function checkSignature(tensors: readonly Tensor[], signature: readonly TensorSignature[]): void {
  const names = new Set<string>();
  for (const tensor of tensors) {
    if (names.has(tensor.name)) {
      throw new MeshError(
        'MESH_BAD_TENSOR',
        `Expected input "${tensor.name}" once, got it again; send each name once`,
      );
    }
    names.add(tensor.name);
    if (!signature.some((entry) => entry.name === tensor.name)) {
      const known = signature.map((entry) => `"${entry.name}"`).join(', ');
      throw new MeshError('MESH_BAD_TENSOR', `Unknown input "${tensor.name}"; this task takes ${known}`);
    }
  }
  for (const expected of signature) {
    const tensor = tensors.find((candidate) => candidate.name === expected.name);
    if (tensor === undefined) throw new MeshError('MESH_BAD_TENSOR', `Input "${expected.name}" is missing`);
    if (tensor.datatype !== expected.datatype) {
      throw new MeshError(
        'MESH_BAD_TENSOR',
        `Expected input "${expected.name}" to be ${expected.datatype}, got ${tensor.datatype}`,
      );
    }
    const fits =
      tensor.shape.length === expected.shape.length &&
      expected.shape.every((dimension, axis) => dimension === -1 || dimension === tensor.shape[axis]);
    if (!fits) {
      throw new MeshError(
        'MESH_BAD_TENSOR',
        `Expected input "${expected.name}" to have shape [${expected.shape.join(', ')}] (-1 = any), got [${tensor.shape.join(', ')}]`,
      );
    }
    checkTensor(tensor);
  }
}

/** Number of length-prefixed elements in BYTES data, or undefined when the last one is cut off. */
function bytesElementCount(data: Uint8Array): number | undefined {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let offset = 0;
  let count = 0;
  while (offset < data.byteLength) {
    if (offset + 4 > data.byteLength) return undefined;
    offset += 4 + view.getUint32(offset, true);
    if (offset > data.byteLength) return undefined;
    count += 1;
  }
  return count;
}
