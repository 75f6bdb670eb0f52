import { create } from '@bufbuild/protobuf';
import {
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  TensorProto_DataType,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from '../../../register/src/onnx/generated/onnx_pb.ts';
import { float32Tensor, int64Tensor } from '../../../register/src/onnx/tensor-data.ts';

/** A small ONNX graph to convert and to run. */
export interface SmallGraph {
  readonly name: string;
  /** Default 17. */
  readonly opset?: number;
  /** Shapes of the fp32 inputs; text is the name of a free axis. */
  readonly inputs: Readonly<Record<string, readonly (number | string)[]>>;
  /** Shapes of fp32 weights, which are filled with pseudo-random numbers, or the numbers themselves. */
  readonly weights?: Readonly<Record<string, Weights>>;
  /** Lists of int64, or a single one. */
  readonly integers?: Readonly<Record<string, readonly number[] | number>>;
  readonly nodes: readonly NodeProto[];
  readonly outputs: readonly string[];
}

export type Weights =
  | readonly number[]
  | { readonly shape: readonly number[]; readonly values: readonly number[] };

/** The graph as a model. */
export function onnxModel({
  opset = 17,
  inputs,
  weights = {},
  integers = {},
  nodes,
  outputs,
}: SmallGraph): ModelProto {
  const random = randomNumbers(1);
  return create(ModelProtoSchema, {
    irVersion: 8n,
    opsetImport: [{ domain: '', version: BigInt(opset) }],
    graph: {
      name: 'small',
      node: [...nodes],
      input: Object.entries(inputs).map(([name, shape]) => tensorInfo(name, shape)),
      output: outputs.map((name) => tensorInfo(name)),
      initializer: [
        ...Object.entries(weights).map(([name, given]) => {
          if ('shape' in given) return float32Tensor(name, given.shape, given.values as readonly number[]);
          const count = given.reduce((product, size) => product * size, 1);
          return float32Tensor(name, given, Array.from({ length: count }, random));
        }),
        ...Object.entries(integers).map(([name, values]) =>
          typeof values === 'number'
            ? int64Tensor(name, [], [values])
            : int64Tensor(name, [values.length], values),
        ),
      ],
    },
  });
}

/** Says what a graph's input or output is: fp32, of a shape or of any. */
export function tensorInfo(
  name: string,
  shape?: readonly (number | string)[],
  elemType: number = TensorProto_DataType.FLOAT,
): ValueInfoProto {
  const dim = shape?.map((size) => ({
    value:
      typeof size === 'number'
        ? { case: 'dimValue' as const, value: BigInt(size) }
        : { case: 'dimParam' as const, value: size },
  }));
  return create(ValueInfoProtoSchema, {
    name,
    type: {
      value: { case: 'tensorType', value: { elemType, ...(dim !== undefined && { shape: { dim } }) } },
    },
  });
}

/** Numbers from -1 to 1 that are the same for the same seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}
