import { tensorValues } from '@nearfar/core';
import { aligned, type Datatype, MeshError, type Tensor } from '@nearfar/protocol';
import type { Tensor as OrtTensor } from 'onnxruntime-web';

/** What onnxruntime-web calls the datatypes that it has as numbers. */
const TYPES = {
  BOOL: 'bool',
  UINT8: 'uint8',
  UINT16: 'uint16',
  UINT32: 'uint32',
  UINT64: 'uint64',
  INT8: 'int8',
  INT16: 'int16',
  INT32: 'int32',
  INT64: 'int64',
  FP16: 'float16',
  FP32: 'float32',
  FP64: 'float64',
} as const satisfies Partial<Record<Datatype, OrtTensor.Type>>;

const DATATYPES: ReadonlyMap<OrtTensor.Type, Datatype> = new Map(
  Object.entries(TYPES).map(([datatype, type]) => [type, datatype as Datatype]),
);

/** What builds a tensor of the runtime. */
type OrtTensorConstructor = new (
  type: OrtTensor.Type,
  data: OrtTensor.DataType,
  dims: readonly number[],
) => OrtTensor;

/** The tensor inside the runtime. @throws MeshError `MESH_BAD_TENSOR` for BF16 and BYTES, which it lacks. */
export function toOrt(tensor: Tensor, Constructor: OrtTensorConstructor): OrtTensor {
  const { name, datatype, shape } = tensor;
  if (!isKnown(datatype)) {
    throw new MeshError('MESH_BAD_TENSOR', `onnxruntime-web takes no ${datatype}, as input "${name}" is`);
  }
  // Halves go in as their bits: not every browser has an array of them.
  const values = datatype === 'FP16' ? bitsOf(tensor) : tensorValues(tensor);
  return new Constructor(TYPES[datatype], values as OrtTensor.DataType, [...shape]);
}

/** The tensor outside the runtime, in memory of its own, since the runtime's may be gone after the next run. */
export async function fromOrt(name: string, result: OrtTensor): Promise<Tensor> {
  const datatype = DATATYPES.get(result.type);
  const values = await result.getData(true);
  if (datatype === undefined || Array.isArray(values)) {
    throw new MeshError('MESH_EXECUTION_FAILED', `The model gave ${result.type} as "${name}"`);
  }
  const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();
  return { name, datatype, shape: result.dims, data };
}

function isKnown(datatype: Datatype): datatype is keyof typeof TYPES {
  return Object.hasOwn(TYPES, datatype);
}

function bitsOf({ data }: Tensor): Uint16Array {
  const { buffer, byteOffset, byteLength } = aligned(data, 2);
  return new Uint16Array(buffer, byteOffset, byteLength / 2);
}
