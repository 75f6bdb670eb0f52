import { DATATYPE_BYTES, type Datatype, MeshError, type Tensor } from '@nearfar/protocol';

/** Elements of a tensor; 64-bit integers are bigints. */
export type TensorValues =
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | Int8Array
  | Int16Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

/** Whether the elements stand for real numbers, so that small differences between them are rounding. */
export function isFloat(datatype: Datatype): boolean {
  return datatype === 'FP16' || datatype === 'BF16' || datatype === 'FP32' || datatype === 'FP64';
}

/**
 * The elements of a tensor of numbers, in row-major order: a view where the bytes are aligned and the machine knows the
 * datatype, else a copy. BOOL is 0 or 1; FP16 and BF16 become Float32Array, which holds each of their values exactly.
 *
 * @throws MeshError `MESH_BAD_TENSOR` for BYTES, whose elements are no numbers.
 */
export function tensorValues(tensor: Tensor): TensorValues {
  const { name, datatype, data } = tensor;
  if (datatype === 'BYTES') {
    throw new MeshError('MESH_BAD_TENSOR', `Expected tensor "${name}" to hold numbers, got BYTES`);
  }
  const size = DATATYPE_BYTES[datatype];
  // A Node Buffer's own `slice` would share its memory, and stay where it is.
  const { buffer, byteOffset, byteLength } = data.byteOffset % size === 0 ? data : new Uint8Array(data);
  const length = byteLength / size;
  switch (datatype) {
    case 'BOOL':
    case 'UINT8':
      return new Uint8Array(buffer, byteOffset, length);
    case 'UINT16':
      return new Uint16Array(buffer, byteOffset, length);
    case 'UINT32':
      return new Uint32Array(buffer, byteOffset, length);
    case 'UINT64':
      return new BigUint64Array(buffer, byteOffset, length);
    case 'INT8':
      return new Int8Array(buffer, byteOffset, length);
    case 'INT16':
      return new Int16Array(buffer, byteOffset, length);
    case 'INT32':
      return new Int32Array(buffer, byteOffset, length);
    case 'INT64':
      return new BigInt64Array(buffer, byteOffset, length);
    case 'FP16':
      return Float32Array.from(new Uint16Array(buffer, byteOffset, length), halfToNumber);
    case 'BF16':
      // The upper half of an FP32.
      return new Float32Array(
        Uint32Array.from(new Uint16Array(buffer, byteOffset, length), (bits) => bits << 16).buffer,
      );
    case 'FP32':
      return new Float32Array(buffer, byteOffset, length);
    case 'FP64':
      return new Float64Array(buffer, byteOffset, length);
  }
}

/** IEEE 754 binary16: 1 bit of sign, 5 of exponent, 10 of fraction. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
