import {
  type GraphProto,
  type NodeProto,
  TensorProto_DataType,
  type ValueInfoProto,
} from './generated/onnx_pb.ts';
import { attributeOf, intAttribute, isStandard } from './nodes.ts';
import type { Scope } from './scope.ts';

const { FLOAT, UINT8, INT32, INT64, BOOL } = TensorProto_DataType;

/** The kinds of elements that the tensors of a graph hold, as far as they can be told. */
export interface ElementTypes {
  /** `TensorProto.DataType` of a name, seen from this graph. */
  of(name: string): number | undefined;
  /** Those of a graph inside. */
  readonly inner: ReadonlyMap<GraphProto, ElementTypes>;
}

/** Works out what the tensors of a graph and of the graphs inside hold: from what the file says, and node by node. */
export function elementTypesOf(scope: Scope, outer?: ElementTypes): ElementTypes {
  const { graph, constants } = scope;
  const known = new Map<string, number>();
  const inner = new Map<GraphProto, ElementTypes>();
  const types: ElementTypes = {
    of: (name) => known.get(name) ?? (scope.defined.has(name) ? undefined : outer?.of(name)),
    inner,
  };
  const learn = (name: string | undefined, type: number | undefined) => {
    if (name !== undefined && name !== '' && type !== undefined && type !== 0 && !known.has(name))
      known.set(name, type);
  };
  for (const info of [...graph.input, ...graph.valueInfo]) learn(info.name, declaredType(info));
  for (const [name, { dataType }] of constants) learn(name, dataType);
  for (const node of graph.node) {
    for (const attribute of node.attribute) {
      for (const subgraph of attribute.g === undefined
        ? attribute.graphs
        : [attribute.g, ...attribute.graphs]) {
        const nested = scope.inner.get(subgraph);
        if (nested !== undefined) inner.set(subgraph, elementTypesOf(nested, types));
      }
    }
    const outputs = outputTypes(node, types);
    for (const [index, name] of node.output.entries()) learn(name, outputs(index));
  }
  for (const info of graph.output) learn(info.name, declaredType(info));
  return types;
}

function declaredType({ type }: ValueInfoProto): number | undefined {
  return type?.value.case === 'tensorType' ? type.value.value.elemType : undefined;
}

type TypeOfOutput = (index: number) => number | undefined;

/** Operators whose outputs hold what their first input holds. */
const LIKE_FIRST_INPUT = new Set(
  `Abs Acos Acosh Add And Asin Asinh Atan Atanh AveragePool BatchNormalization Ceil Celu Clip Compress Concat Conv ConvTranspose
   Cos Cosh CumSum DepthToSpace Div Einsum Elu Erf Exp Expand Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm
   GlobalAveragePool GlobalLpPool GlobalMaxPool GridSample GroupNormalization HardSigmoid HardSwish Hardmax Identity
   InstanceNormalization LRN LSTM LayerNormalization LeakyRelu Log LogSoftmax LpNormalization LpPool MatMul Max MaxUnpool Mean
   MeanVarianceNormalization Min Mish Mod Mul Neg PRelu Pad Pow RNN Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum
   ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence
   RMSNormalization RoiAlign Round Scatter ScatterElements ScatterND Selu Shrink Sigmoid Sign Sin Sinh Slice Softmax Softplus
   Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile Transpose Trilu Unsqueeze Upsample`.split(
    /\s+/,
  ),
);

/** Operators of which every output is of one kind, whatever goes in. */
const FIXED = new Map<string, number>([
  ...['Shape', 'Size', 'ArgMax', 'ArgMin', 'NonZero', 'NonMaxSuppression'].map(
    (name) => [name, INT64] as const,
  ),
  ...['Equal', 'Less', 'LessOrEqual', 'Greater', 'GreaterOrEqual', 'Not', 'Or', 'Xor', 'IsNaN', 'IsInf'].map(
    (name) => [name, BOOL] as const,
  ),
  ['MatMulInteger', INT32],
  ['ConvInteger', INT32],
]);

/** What a node gives, from what goes in. */
function outputTypes(node: NodeProto, types: ElementTypes): TypeOfOutput {
  const { opType, input } = node;
  const inputType = (index: number) => types.of(input[index] ?? '');
  if (!isStandard(node)) return () => undefined;
  const fixed = FIXED.get(opType);
  if (fixed !== undefined) return () => fixed;
  if (LIKE_FIRST_INPUT.has(opType)) return () => inputType(0);
  switch (opType) {
    case 'Cast':
      return () => intAttribute(node, 'to', 0);
    case 'CastLike':
    case 'Where':
      return () => inputType(1);
    case 'ConstantOfShape':
      return () => attributeOf(node, 'value')?.t?.dataType ?? FLOAT;
    case 'Dropout':
      return (index) => (index === 0 ? inputType(0) : BOOL);
    case 'MaxPool':
    case 'TopK':
      return (index) => (index === 0 ? inputType(0) : INT64);
    case 'OneHot':
      return () => inputType(2);
    case 'DequantizeLinear':
      return () => inputType(1);
    case 'QuantizeLinear':
      return () => inputType(2) ?? (intAttribute(node, 'output_dtype', 0) || UINT8);
    case 'DynamicQuantizeLinear':
      return (index) => (index === 1 ? FLOAT : UINT8);
    case 'RandomNormal':
    case 'RandomUniform':
      return () => intAttribute(node, 'dtype', FLOAT);
    case 'If':
      return (index) => branchType(node, types, 'then_branch', index);
    case 'Loop':
      // Behind the condition, the body gives what the loop gives.
      return (index) => branchType(node, types, 'body', index + 1);
    case 'Scan':
      return (index) => branchType(node, types, 'body', index);
    default:
      return () => undefined;
  }
}

function branchType(node: NodeProto, types: ElementTypes, name: string, index: number): number | undefined {
  const graph = attributeOf(node, name)?.g;
  const output = graph?.output[index];
  if (graph === undefined || output === undefined) return undefined;
  return types.inner.get(graph)?.of(output.name) ?? declaredType(output);
}
