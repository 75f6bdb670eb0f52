import { tensorValues } from '@nearfar/core';
import { type Datatype, MeshError, type Tensor, type TensorSignature } from '@nearfar/protocol';
import * as tf from '@tensorflow/tfjs-core';

/** What tfjs calls the datatypes that it has as numbers; it computes in no other. */
const TYPES = { FP32: 'float32', INT32: 'int32', BOOL: 'bool' } as const;

const DATATYPES: ReadonlyMap<tf.DataType, Datatype> = new Map(
  Object.entries(TYPES).map(([datatype, type]) => [type, datatype as Datatype]),
);

/** @throws MeshError `MESH_VARIANT_FAILED` when tfjs lacks a datatype of the signature. */
export function checkDatatypes(signature: readonly TensorSignature[]): void {
  const foreign = signature.find(({ datatype }) => !isKnown(datatype));
  if (foreign === undefined) return;
  throw new MeshError(
    'MESH_VARIANT_FAILED',
    `Expected "${foreign.name}" to be ${Object.keys(TYPES).join(', ')}, the datatypes of tfjs, found ${foreign.datatype}`,
  );
}

/** The tensor inside tfjs, of the caller to dispose of. @throws MeshError `MESH_BAD_TENSOR` for another datatype. */
export function toTfjs(tensor: Tensor): tf.Tensor {
  const { name, datatype, shape } = tensor;
  if (!isKnown(datatype)) {
    throw new MeshError('MESH_BAD_TENSOR', `tfjs takes no ${datatype}, as input "${name}" is`);
  }
  const values = tensorValues(tensor) as Float32Array | Int32Array | Uint8Array;
  return tf.tensor(values, [...shape], TYPES[datatype]);
}

/** The tensor outside tfjs, in memory of its own. */
export async function fromTfjs(name: string, result: tf.Tensor): Promise<Tensor> {
  const datatype = DATATYPES.get(result.dtype);
  if (datatype === undefined) {
    throw new MeshError('MESH_EXECUTION_FAILED', `The model gave ${result.dtype} as "${name}"`);
  }
  // A copy, since a backend may give a view of what it keeps.
  const { buffer, byteOffset, byteLength } = await result.data();
  return {
    name,
    datatype,
    shape: result.shape,
    data: new Uint8Array(buffer, byteOffset, byteLength).slice(),
  };
}

function isKnown(datatype: Datatype): datatype is keyof typeof TYPES {
  return Object.hasOwn(TYPES, datatype);
}
