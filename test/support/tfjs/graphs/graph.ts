import type { NodeProto } from '../../../../register/src/onnx/generated/onnx_pb.ts';
import { type MadeAttributes, makeNode } from '../../../../register/src/onnx/nodes.ts';
import type { SmallGraph, Weights } from '../build-onnx.ts';

/** A node with one output, `y` unless it is named. */
export function node(
  operator: string,
  input: string,
  attributes: MadeAttributes = {},
  output = 'y',
): NodeProto {
  return makeNode(
    operator,
    input.split(' ').map((name) => (name === '-' ? '' : name)),
    output.split(' '),
    attributes,
  );
}

type Rest = Omit<SmallGraph, 'name' | 'inputs' | 'nodes' | 'outputs'>;

/** A graph from input `x` to output `y`. */
export function graph(
  name: string,
  x: readonly (number | string)[],
  nodes: readonly NodeProto[],
  rest: Rest & { readonly outputs?: readonly string[] } = {},
): SmallGraph {
  return { name, inputs: { x }, nodes, outputs: ['y'], ...rest };
}

/** A picture of odd and even sides. */
export const PICTURE = ['N', 4, 7, 8] as const;

/** Statistics of a BatchNormalization of four channels; `NORMALIZE` names them in its order. */
export const STATISTICS: Readonly<Record<string, Weights>> = {
  scale: { shape: [4], values: [0.5, -1, 2, 1] },
  shift: { shape: [4], values: [0.1, 0.2, -0.3, 0] },
  mean: { shape: [4], values: [0, 1, -1, 0.5] },
  variance: { shape: [4], values: [1, 0.25, 4, 0.01] },
};

export const NORMALIZE = 'scale shift mean variance';

/** Bounds of a Clip that is a Relu6. */
export const CLIP: Readonly<Record<string, Weights>> = {
  low: { shape: [], values: [0] },
  high: { shape: [], values: [6] },
};

/** Ways to pad a picture. */
export const CONV_PADS: Readonly<Record<string, MadeAttributes>> = {
  none: {},
  'one all around': { pads: [1, 1, 1, 1] },
  uneven: { pads: [2, 0, 1, 1] },
  SAME_UPPER: { auto_pad: 'SAME_UPPER' },
  SAME_LOWER: { auto_pad: 'SAME_LOWER' },
  VALID: { auto_pad: 'VALID' },
};

/** p = |x|. */
export const POSITIVE = node('Abs', 'x', {}, 'p');
