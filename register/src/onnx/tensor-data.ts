import { create } from '@bufbuild/protobuf';
import { elementCount, MeshError } from '@nearfar/protocol';
import {
  type TensorProto,
  TensorProto_DataLocation,
  TensorProto_DataType,
  TensorProtoSchema,
} from './generated/onnx_pb.ts';
import { halfToNumber } from './half.ts';

const { FLOAT, UINT8, INT8, UINT16, INT16, INT32, INT64, BOOL, FLOAT16, DOUBLE, UINT32, UINT64, BFLOAT16 } =
  TensorProto_DataType;

/** Elements of a tensor; fp16, bfloat16 as their bits, booleans as 0 and 1. */
export type TensorValues =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

/** What a tensor of the file holds. `values` may be a view of the file: it is not to be written to. */
export interface TensorData {
  readonly shape: readonly number[];
  readonly datatype: TensorProto_DataType;
  readonly values: TensorValues;
}

interface Layout {
  readonly bytes: number;
  /** The array of the elements' own kind. */
  readonly View: new (
    buffer: ArrayBufferLike,
    byteOffset: number,
    length: number,
  ) => TensorValues;
  /** Where the elements are when they are not in `raw_data` (`onnx.proto`, message TensorProto). */
  readonly typed: (tensor: TensorProto) => TensorValues;
}

const LAYOUTS: Partial<Record<TensorProto_DataType, Layout>> = {
  [FLOAT]: { bytes: 4, View: Float32Array, typed: ({ floatData }) => Float32Array.from(floatData) },
  [DOUBLE]: { bytes: 8, View: Float64Array, typed: ({ doubleData }) => Float64Array.from(doubleData) },
  [INT8]: { bytes: 1, View: Int8Array, typed: ({ int32Data }) => Int8Array.from(int32Data) },
  [INT16]: { bytes: 2, View: Int16Array, typed: ({ int32Data }) => Int16Array.from(int32Data) },
  [INT32]: { bytes: 4, View: Int32Array, typed: ({ int32Data }) => Int32Array.from(int32Data) },
  [INT64]: { bytes: 8, View: BigInt64Array, typed: ({ int64Data }) => BigInt64Array.from(int64Data) },
  [UINT8]: { bytes: 1, View: Uint8Array, typed: ({ int32Data }) => Uint8Array.from(int32Data) },
  [BOOL]: { bytes: 1, View: Uint8Array, typed: ({ int32Data }) => Uint8Array.from(int32Data) },
  [UINT16]: { bytes: 2, View: Uint16Array, typed: ({ int32Data }) => Uint16Array.from(int32Data) },
  [FLOAT16]: { bytes: 2, View: Uint16Array, typed: ({ int32Data }) => Uint16Array.from(int32Data) },
  [BFLOAT16]: { bytes: 2, View: Uint16Array, typed: ({ int32Data }) => Uint16Array.from(int32Data) },
  [UINT32]: { bytes: 4, View: Uint32Array, typed: ({ uint64Data }) => Uint32Array.from(uint64Data, Number) },
  [UINT64]: { bytes: 8, View: BigUint64Array, typed: ({ uint64Data }) => BigUint64Array.from(uint64Data) },
};

/** Names of the numbers of `data_type`, as ONNX writes them. */
const DATATYPE_NAMES = new Map<number, string>(
  Object.entries(TensorProto_DataType).map(([name, value]) => [value, name]),
);

/** `FLOAT16` for 10; the number itself for one that this version of ONNX does not have. */
export function datatypeName(datatype: number): string {
  return DATATYPE_NAMES.get(datatype) ?? `number ${datatype}`;
}

/** Bits of an element of the kinds that are not read here. */
const OTHER_BITS: Readonly<Record<string, number>> = {
  COMPLEX64: 64,
  COMPLEX128: 128,
  FLOAT8E4M3FN: 8,
  FLOAT8E4M3FNUZ: 8,
  FLOAT8E5M2: 8,
  FLOAT8E5M2FNUZ: 8,
  FLOAT8E8M0: 8,
  FLOAT6E2M3: 6,
  FLOAT6E3M2: 6,
  UINT4: 4,
  INT4: 4,
  FLOAT4E2M1: 4,
  UINT2: 2,
  INT2: 2,
};

/** Whether `readTensor` reads tensors of that kind. */
export function isReadable(datatype: number): boolean {
  return LAYOUTS[datatype as TensorProto_DataType] !== undefined;
}

/**
 * Bytes that the elements of a tensor take in `raw_data`; undefined for strings and kinds that this version of ONNX does not
 * have.
 *
 * @throws MeshError `MESH_BAD_MODEL` as `shapeOf` does.
 */
export function tensorSizeBytes(tensor: TensorProto): number | undefined {
  const bytes = LAYOUTS[tensor.dataType as TensorProto_DataType]?.bytes;
  const bits = bytes === undefined ? OTHER_BITS[datatypeName(tensor.dataType)] : bytes * 8;
  return bits === undefined ? undefined : Math.ceil((elementCount(shapeOf(tensor)) * bits) / 8);
}

/**
 * Checks that a tensor has as much data as its shape needs; kinds that ONNX does not have here are let through.
 *
 * @throws MeshError `MESH_BAD_MODEL`, with `label` for the tensor.
 */
export function checkTensorSize(tensor: TensorProto, label: string): void {
  const shape = shapeOf(tensor);
  const expectedBytes = tensorSizeBytes(tensor);
  const what = `${label}: expected`;
  if (tensor.rawData.length > 0 && expectedBytes !== undefined) {
    if (tensor.rawData.length === expectedBytes) return;
    const kind = `${datatypeName(tensor.dataType)} [${shape}]`;
    throw new MeshError(
      'MESH_BAD_MODEL',
      `${what} ${expectedBytes} bytes for ${kind}, found ${tensor.rawData.length}`,
    );
  }
  const layout = LAYOUTS[tensor.dataType as TensorProto_DataType];
  const isText = tensor.dataType === TensorProto_DataType.STRING;
  const found = isText ? tensor.stringData.length : layout?.typed(tensor).length;
  const expected = elementCount(shape);
  if (found !== undefined && found !== expected) {
    throw new MeshError('MESH_BAD_MODEL', `${what} ${expected} elements for [${shape}], found ${found}`);
  }
}

/**
 * The shape of a tensor of the file.
 *
 * @throws MeshError `MESH_BAD_MODEL` when a dimension is negative or there are 2^53 elements or more.
 */
export function shapeOf(tensor: TensorProto): number[] {
  const shape = tensor.dims.map(Number);
  const count = elementCount(shape);
  if (shape.some((dimension) => dimension < 0) || !Number.isSafeInteger(count)) {
    throw new MeshError(
      'MESH_BAD_MODEL',
      `Bad tensor "${tensor.name}": expected a shape of sizes from 0, found [${shape}]`,
    );
  }
  return shape;
}

/**
 * The elements of a tensor, wherever the file keeps them. A view of `raw_data` where that is aligned, otherwise a copy.
 *
 * @throws MeshError `MESH_BAD_MODEL` when the number of elements differs from the shape's, the data are in another file
 *   (`readOnnx` has inlined them), or the kind is one that is not read here: strings, complex numbers, kinds below 16 bits of
 *   floating point or below 8 bits.
 */
export function readTensor(tensor: TensorProto): TensorData {
  const shape = shapeOf(tensor);
  const count = elementCount(shape);
  const datatype = tensor.dataType as TensorProto_DataType;
  const layout = LAYOUTS[datatype];
  if (layout === undefined) {
    throw badTensor(tensor, 'elements of a number kind of 8 bits or more', datatypeName(datatype));
  }
  if (tensor.dataLocation === TensorProto_DataLocation.EXTERNAL) {
    throw badTensor(tensor, 'its data in the model', 'a reference to another file');
  }
  if (tensor.rawData.length > 0) {
    const { rawData } = tensor;
    const expected = count * layout.bytes;
    if (rawData.length !== expected) {
      throw badTensor(
        tensor,
        `${expected} bytes for ${datatypeName(datatype)} [${shape}]`,
        `${rawData.length}`,
      );
    }
    const isAligned = rawData.byteOffset % layout.bytes === 0;
    // Not `slice()`, which copies nothing where the file was read as a `Buffer`.
    const { buffer, byteOffset } = isAligned ? rawData : new Uint8Array(rawData);
    return { shape, datatype, values: new layout.View(buffer, byteOffset, count) };
  }
  const values = layout.typed(tensor);
  if (values.length !== count)
    throw badTensor(tensor, `${count} elements for [${shape}]`, `${values.length}`);
  return { shape, datatype, values };
}

function badTensor({ name }: TensorProto, expected: string, found: string): MeshError {
  return new MeshError('MESH_BAD_MODEL', `Bad tensor "${name}": expected ${expected}, found ${found}`);
}

/**
 * The elements of a floating-point tensor (FLOAT, FLOAT16, BFLOAT16, DOUBLE) in fp32, or undefined for another kind. Not to
 * be written to.
 *
 * @throws MeshError `MESH_BAD_MODEL` as `readTensor` does.
 */
export function readFloats(tensor: TensorProto): Float32Array | undefined {
  switch (tensor.dataType) {
    case FLOAT:
      return readTensor(tensor).values as Float32Array;
    case DOUBLE:
      return Float32Array.from(readTensor(tensor).values as Float64Array);
    case FLOAT16:
      return Float32Array.from(readTensor(tensor).values as Uint16Array, halfToNumber);
    case BFLOAT16:
      // A bfloat16 is the upper half of an fp32.
      return new Float32Array(
        Uint32Array.from(readTensor(tensor).values as Uint16Array, (bits) => bits << 16).buffer,
      );
    default:
      return undefined;
  }
}

/**
 * The elements of an integer or boolean tensor (shapes, axes, pads) as numbers, or undefined for another kind. Numbers beyond
 * 2^53, which `Slice` uses for "to the end", lose their last bits.
 *
 * @throws MeshError `MESH_BAD_MODEL` as `readTensor` does.
 */
export function readIntegers(tensor: TensorProto): number[] | undefined {
  const isInteger = INTEGERS.has(tensor.dataType);
  return isInteger ? Array.from<number | bigint, number>(readTensor(tensor).values, Number) : undefined;
}

const INTEGERS: ReadonlySet<number> = new Set([
  UINT8,
  INT8,
  UINT16,
  INT16,
  INT32,
  INT64,
  BOOL,
  UINT32,
  UINT64,
]);

/** A tensor for the file whose elements are the bytes of `values`; they are not copied. */
export function makeTensor(
  name: string,
  datatype: TensorProto_DataType,
  shape: readonly number[],
  values: TensorValues,
): TensorProto {
  const rawData = new Uint8Array(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength);
  return create(TensorProtoSchema, { name, dataType: datatype, dims: shape.map(BigInt), rawData });
}

/** An fp32 tensor for the file. */
export function float32Tensor(
  name: string,
  shape: readonly number[],
  values: Float32Array | readonly number[],
): TensorProto {
  return makeTensor(name, FLOAT, shape, values instanceof Float32Array ? values : Float32Array.from(values));
}

/** An int64 tensor for the file: shapes, axes, pads. */
export function int64Tensor(
  name: string,
  shape: readonly number[],
  values: readonly (number | bigint)[],
): TensorProto {
  return makeTensor(name, INT64, shape, BigInt64Array.from<number | bigint>(values, BigInt));
}

/** An int8 tensor for the file. */
export function int8Tensor(name: string, shape: readonly number[], values: Int8Array): TensorProto {
  return makeTensor(name, INT8, shape, values);
}
