import { type Datatype, LIMITS, MeshError, type TensorSignature } from '@nearfar/protocol';
import { type ModelProto, TensorProto_DataType, type ValueInfoProto } from './generated/onnx_pb.ts';
import { datatypeName } from './tensor-data.ts';

const {
  FLOAT,
  UINT8,
  INT8,
  UINT16,
  INT16,
  INT32,
  INT64,
  STRING,
  BOOL,
  FLOAT16,
  DOUBLE,
  UINT32,
  UINT64,
  BFLOAT16,
} = TensorProto_DataType;

const DATATYPES = new Map<number, Datatype>([
  [FLOAT, 'FP32'],
  [UINT8, 'UINT8'],
  [INT8, 'INT8'],
  [UINT16, 'UINT16'],
  [INT16, 'INT16'],
  [INT32, 'INT32'],
  [INT64, 'INT64'],
  [STRING, 'BYTES'],
  [BOOL, 'BOOL'],
  [FLOAT16, 'FP16'],
  [DOUBLE, 'FP64'],
  [UINT32, 'UINT32'],
  [UINT64, 'UINT64'],
  [BFLOAT16, 'BF16'],
]);

/**
 * What a model takes and gives, in the words of the Open Inference Protocol. Symbolic, unnamed and absent sizes are -1.
 * Initialisers that old files list as inputs too are none.
 *
 * @throws MeshError `MESH_BAD_MODEL` when an input or output is no tensor, of a kind that the protocol does not have, or does
 *   not say how many dimensions it has.
 */
export function signatureOf(model: ModelProto): {
  readonly inputs: readonly TensorSignature[];
  readonly outputs: readonly TensorSignature[];
} {
  const { input = [], output = [], initializer = [] } = model.graph ?? {};
  const initialisers = new Set(initializer.map(({ name }) => name));
  return {
    inputs: input.filter(({ name }) => !initialisers.has(name)).map((info) => tensorSignature(info, 'input')),
    outputs: output.map((info) => tensorSignature(info, 'output')),
  };
}

function tensorSignature({ name, type }: ValueInfoProto, side: 'input' | 'output'): TensorSignature {
  const kind = type?.value;
  if (kind?.case !== 'tensorType') {
    const found = kind?.case === undefined ? 'no type' : kind.case.replace('Type', '');
    throw bad(`Expected ${side} "${name}" to be a tensor, found ${found}`);
  }
  const datatype = DATATYPES.get(kind.value.elemType);
  if (datatype === undefined) {
    const known = [...DATATYPES.keys()].map(datatypeName).join(', ');
    throw bad(
      `Expected ${side} "${name}" to hold one of ${known}, found ${datatypeName(kind.value.elemType)}`,
    );
  }
  const { shape } = kind.value;
  if (shape === undefined) {
    throw bad(
      `Expected ${side} "${name}" to say how many dimensions it has, found no shape; add it to the model, with a name for each free size`,
    );
  }
  if (shape.dim.length > LIMITS.maxRank) {
    throw bad(
      `Expected ${side} "${name}" to have at most ${LIMITS.maxRank} dimensions, found ${shape.dim.length}`,
    );
  }
  // Some exporters write a free size as 0 or -1.
  const sizes = shape.dim.map(({ value }) =>
    value.case === 'dimValue' && value.value > 0n ? Number(value.value) : -1,
  );
  return { name, datatype, shape: sizes };
}

function bad(message: string): MeshError {
  return new MeshError('MESH_BAD_MODEL', message);
}
