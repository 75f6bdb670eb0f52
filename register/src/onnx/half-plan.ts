import type { ElementTypes } from './element-types.ts';
import {
  type GraphProto,
  type NodeProto,
  type TensorProto,
  TensorProto_DataType,
} from './generated/onnx_pb.ts';
import { LARGEST_HALF } from './half.ts';
import { isStandard, subgraphsOf } from './nodes.ts';
import { floatConstantOf, type Scope } from './scope.ts';
import { readFloats } from './tensor-data.ts';

const { FLOAT } = TensorProto_DataType;

/** Which inputs of an operator hold fp16 when it computes in fp16; all that held fp32 unless listed. */
interface HalfOperator {
  readonly inputs?: readonly number[];
  /** Outputs that are of the input's kind; all unless said. */
  readonly outputs?: number;
  /** Whether its constants are what the model learnt, so that it is no use without them in fp16. */
  readonly hasWeights?: true;
}

/**
 * Operators that may compute in fp16. Left out are those of which a runtime has no such kernel, or which need the range of fp32:
 * comparisons, counting, sums of squares, TopK, Min and Max, CumSum, RoiAlign, Range, NonMaxSuppression, Upsample (compare
 * the block list of onnxconverter-common's `float16.py`), and whatever is not known here. They go on in fp32.
 */
const HALF_OPERATORS: ReadonlyMap<string, HalfOperator> = new Map<string, HalfOperator>([
  ...['Conv', 'ConvTranspose', 'Gemm', 'MatMul', 'LSTM', 'GRU', 'RNN'].map(
    (name) => [name, { hasWeights: true }] as const,
  ),
  ...`Abs Add AveragePool BatchNormalization Celu Clip Concat Cos DepthToSpace Div Elu Erf Exp Expand Flatten Gather
    GatherElements GatherND Gelu GlobalAveragePool GlobalMaxPool HardSigmoid HardSwish Identity InstanceNormalization LeakyRelu
    Log LogSoftmax LRN Mish Mul Neg Pad Pow PRelu Reciprocal ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape Selu Sigmoid
    Sin Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh ThresholdedRelu Tile Transpose Unsqueeze
    Where`
    .split(/\s+/)
    .map((name) => [name, {}] as const),
  ['Dropout', { inputs: [0], outputs: 1 }],
  ['LayerNormalization', { outputs: 1 }],
  ['MaxPool', { outputs: 1 }],
  ['Resize', { inputs: [0] }],
]);

/** What a node computes in fp16. */
export interface HalfNode {
  /** Places of the inputs and outputs that hold fp16. */
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/** Nodes that compute in fp16, in a graph and those inside; or what stands against all of it. */
export type HalfPlan =
  | { readonly kind: 'nodes'; readonly nodes: ReadonlyMap<NodeProto, HalfNode> }
  | { readonly kind: 'refused'; readonly reason: string };

/**
 * Decides which nodes compute in fp16.
 *
 * Numbers that come from integers (shapes, lengths, positions) stay fp32 until they meet others: fp16 counts only to 2,048. A
 * node with a constant beyond fp16's range stays fp32 too, unless it is a weight: then the model is refused.
 */
export function planHalf(scope: Scope, types: ElementTypes): HalfPlan {
  const nodes = new Map<NodeProto, HalfNode>();
  const problem = planGraph(scope, types, nodes, new Set());
  return problem === undefined ? { kind: 'nodes', nodes } : { kind: 'refused', reason: problem };
}

/** Adds the nodes of a graph; `counts` are fp32 names around it that come from integers. */
function planGraph(
  scope: Scope,
  types: ElementTypes,
  planned: Map<NodeProto, HalfNode>,
  outerCounts: ReadonlySet<string>,
): string | undefined {
  const counts = new Set(outerCounts);
  for (const node of scope.graph.node) {
    if (comesFromIntegers(node, scope, types, counts)) {
      for (const name of node.output) counts.add(name);
    } else {
      const half = halfNode(node, types);
      const range = half === undefined ? 'fits' : rangeOf(node, half, scope);
      if (range !== 'fits' && range !== 'stays') return range;
      if (half !== undefined && range === 'fits') planned.set(node, half);
    }
    for (const subgraph of subgraphsOf(node)) {
      const inner = innerOf(scope, types, subgraph);
      const problem = inner && planGraph(inner.scope, inner.types, planned, counts);
      if (problem !== undefined) return problem;
    }
  }
  return undefined;
}

function innerOf(scope: Scope, types: ElementTypes, subgraph: GraphProto) {
  const [inner, innerTypes] = [scope.inner.get(subgraph), types.inner.get(subgraph)];
  return inner === undefined || innerTypes === undefined ? undefined : { scope: inner, types: innerTypes };
}

/** Whether a node gives fp32 numbers made of integers, and of constants beside them. */
function comesFromIntegers(
  node: NodeProto,
  scope: Scope,
  types: ElementTypes,
  counts: ReadonlySet<string>,
): boolean {
  if (!isStandard(node) || types.of(node.output[0] ?? '') !== FLOAT) return false;
  if (node.opType === 'Cast') {
    const [input = ''] = node.input;
    return counts.has(input) || (types.of(input) !== undefined && types.of(input) !== FLOAT);
  }
  if (node.opType === 'Range') return true;
  const floats = node.input.filter((name) => name !== '' && types.of(name) === FLOAT);
  const computed = floats.filter((name) => floatConstantOf(scope, name) === undefined);
  return computed.length > 0 && computed.every((name) => counts.has(name));
}

/** The places that would hold fp16; undefined when the operator does not compute in fp16, or not with fp32 now. */
function halfNode(node: NodeProto, types: ElementTypes): HalfNode | undefined {
  const operator = isStandard(node) ? HALF_OPERATORS.get(node.opType) : undefined;
  if (operator === undefined) return undefined;
  const places = operator.inputs ?? [...node.input.keys()];
  const inputs = places.filter((place) => types.of(node.input[place] ?? '') === FLOAT);
  const outputs = [...node.output.keys()]
    .slice(0, operator.outputs)
    .filter((place) => types.of(node.output[place] ?? '') === FLOAT);
  // An input of unknown kind may be fp32, and then would not fit the others.
  const isKnown = places.every(
    (place) => (node.input[place] ?? '') === '' || types.of(node.input[place] ?? '') !== undefined,
  );
  return isKnown && inputs.length > 0 && outputs.length > 0 ? { inputs, outputs } : undefined;
}

/** Whether the constants of a node fit fp16, it has to stay in fp32 for them, or (a reason) the whole model has to. */
function rangeOf(node: NodeProto, { inputs }: HalfNode, scope: Scope): 'fits' | 'stays' | string {
  for (const place of inputs) {
    const name = node.input[place] ?? '';
    const tensor = floatConstantOf(scope, name);
    const tooLarge = tensor === undefined ? undefined : firstTooLarge(tensor);
    if (tooLarge === undefined) continue;
    if (HALF_OPERATORS.get(node.opType)?.hasWeights !== true) return 'stays';
    return `weights "${name}" of ${node.opType} reach ${tooLarge}, fp16 ends at ${LARGEST_HALF}`;
  }
  return node.attribute.every(({ f, floats }) => [f, ...floats].every(fitsHalf)) ? 'fits' : 'stays';
}

function firstTooLarge(tensor: TensorProto): number | undefined {
  return readFloats(tensor)?.find((value) => !fitsHalf(value));
}

/** Infinities do: fp16 has them. */
function fitsHalf(value: number): boolean {
  return Math.abs(value) <= LARGEST_HALF || !Number.isFinite(value);
}
