import { type NodeProto, type TensorProto, TensorProto_DataType } from './generated/onnx_pb.ts';
import { withFields } from './message.ts';
import {
  attributeOf,
  floatAttribute,
  intAttribute,
  intsAttribute,
  makeAttribute,
  makeNode,
  stringAttribute,
} from './nodes.ts';
import { float32Tensor, int64Tensor, readFloats } from './tensor-data.ts';

/** What a rule may ask about the graph, and add to it. */
export interface UpgradeParts {
  freshName(wanted: string): string;
  constantOf(name: string): TensorProto | undefined;
  /** Whether a name is known to hold fp32. */
  isFloat(name: string): boolean;
  /** Whether anything reads a name. */
  isUsed(name: string): boolean;
  /** Adds an initialiser and gives its name. */
  add(tensor: TensorProto): string;
}

/** The nodes that mean in a version what the node meant in the one before, or what stands against it. */
type Rule = (node: NodeProto, parts: UpgradeParts) => readonly NodeProto[] | string;

/**
 * Operators that mean in opset 13 what they mean in 7 (or since they exist): the versions between brought further types, negative
 * axes, or attributes and inputs whose defaults are what was before. Source: ONNX's `docs/Changelog.md`.
 */
export const UNCHANGED: ReadonlySet<string> = new Set(
  `Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BitShift Cast Ceil Celu Compress Concat Constant
   ConstantOfShape Conv ConvInteger Cos Cosh CumSum DepthToSpace DequantizeLinear Div DynamicQuantizeLinear Einsum Elu Equal
   Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool
   Greater GreaterOrEqual HardSigmoid Identity If InstanceNormalization IsInf IsNaN LRN LSTM LeakyRelu Less LessOrEqual Log Loop
   LpNormalization MatMul MatMulInteger Max MaxPool MaxRoiPool MaxUnpool Mean MeanVarianceNormalization Min Mod Mul Neg
   NonMaxSuppression NonZero Not OneHot Or PRelu Pow QLinearConv QLinearMatMul QuantizeLinear RNN RandomNormal
   RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
   ReduceMean ReduceMin ReduceProd ReduceSumSquare Relu Reshape ReverseSequence RoiAlign Round ScatterElements ScatterND Selu
   Shape Shrink Sigmoid Sign Sin Sinh Size Softplus Softsign SpaceToDepth Sqrt Sub Sum Tan Tanh ThresholdedRelu Tile Transpose
   Where Xor`.split(/\s+/),
);

/** Operators of which some version changed the meaning, and what to make of them then. */
export const UPGRADES: Readonly<Record<string, Readonly<Record<number, Rule>>>> = {
  BatchNormalization: {
    9: (node) =>
      intAttribute(node, 'spatial', 1) === 1
        ? [without(node, ['spatial'])]
        : 'normalises each place by itself',
  },
  Clip: { 11: clipToInputs },
  ConvTranspose: {
    11: (node) =>
      stringAttribute(node, 'auto_pad', 'NOTSET').startsWith('SAME')
        ? 'pads by itself, which changed its meaning'
        : [node],
  },
  Dropout: {
    10: (node, { isUsed }) =>
      isUsed(node.output[1] ?? '') ? 'gives its mask, which changed its type' : [node],
    // A model that is served drops nothing.
    12: (node, { isUsed }) =>
      isUsed(node.output[1] ?? '')
        ? 'gives its mask'
        : [makeNode('Identity', node.input.slice(0, 1), node.output.slice(0, 1))],
  },
  Hardmax: { 13: flattenFirst },
  LogSoftmax: { 13: flattenFirst },
  Pad: { 11: padToInputs },
  ReduceSum: { 13: listToInput('axes') },
  Resize: { 11: resizeWithPlaces },
  Scan: { 9: () => 'runs over a batch, which later versions do not' },
  Scatter: { 11: (node) => [withFields(node, { opType: 'ScatterElements' })] },
  Slice: { 10: sliceToInputs },
  Softmax: { 13: flattenFirst },
  Split: { 13: listToInput('split') },
  Squeeze: { 13: listToInput('axes') },
  TopK: {
    10: (node, { add, freshName }) => {
      const count = int64Tensor(freshName(`${node.output[0]}_k`), [1], [intAttribute(node, 'k', 1)]);
      return [withInputs(without(node, ['k']), [node.input[0] ?? '', add(count)])];
    },
  },
  Unsqueeze: { 13: listToInput('axes') },
  Upsample: {
    9: (node, { add, freshName }) => {
      const scales = attributeOf(node, 'scales')?.floats ?? [];
      const tensor = float32Tensor(freshName(`${node.output[0]}_scales`), [scales.length], scales);
      return [withInputs(without(node, ['scales']), [node.input[0] ?? '', add(tensor)])];
    },
    10: (node) => [withFields(node, { opType: 'Resize' })],
  },
};

function without(node: NodeProto, names: readonly string[]): NodeProto {
  return withFields(node, { attribute: node.attribute.filter(({ name }) => !names.includes(name)) });
}

function withInputs(node: NodeProto, input: readonly string[]): NodeProto {
  return withFields(node, { input: [...input] });
}

/** A list of integers that was an attribute is the second input. */
function listToInput(name: string): Rule {
  return (node, { add, freshName }) => {
    const values = intsAttribute(node, name);
    if (values === undefined) return [node];
    const tensor = int64Tensor(freshName(`${node.output[0]}_${name}`), [values.length], values);
    return [withInputs(without(node, [name]), [node.input[0] ?? '', add(tensor)])];
  };
}

function sliceToInputs(node: NodeProto, { add, freshName }: UpgradeParts): readonly NodeProto[] {
  // As 64-bit integers: "to the end" is often 2^63 − 1, which a number cannot hold.
  const [starts = [], ends = [], axes] = ['starts', 'ends', 'axes'].map(
    (name) => attributeOf(node, name)?.ints,
  );
  const lists = { starts, ends, axes: axes ?? starts.map((_, axis) => axis) };
  const names = Object.entries(lists).map(([name, values]) =>
    add(int64Tensor(freshName(`${node.output[0]}_${name}`), [values.length], values)),
  );
  return [withInputs(without(node, ['starts', 'ends', 'axes']), [node.input[0] ?? '', ...names])];
}

/** The bounds of `Clip` became inputs, which have to be of its own kind. */
function clipToInputs(
  node: NodeProto,
  { add, freshName, isFloat }: UpgradeParts,
): readonly NodeProto[] | string {
  const [input = ''] = node.input;
  const bounds = ['min', 'max'].map((name) => {
    const value = attributeOf(node, name)?.f;
    return value === undefined ? '' : { name, value };
  });
  if (bounds.some((bound) => bound !== '') && !isFloat(input)) return 'does not clip fp32 numbers';
  const names = bounds.map((bound) =>
    bound === '' ? '' : add(float32Tensor(freshName(`${node.output[0]}_${bound.name}`), [], [bound.value])),
  );
  while (names.at(-1) === '') names.pop();
  return [withInputs(without(node, ['min', 'max']), [input, ...names])];
}

function padToInputs(
  node: NodeProto,
  { add, freshName, isFloat }: UpgradeParts,
): readonly NodeProto[] | string {
  const [input = ''] = node.input;
  const pads = intsAttribute(node, 'pads') ?? [];
  const value = floatAttribute(node, 'value', 0);
  if (value !== 0 && !isFloat(input)) return 'does not pad fp32 numbers';
  const inputs = [input, add(int64Tensor(freshName(`${node.output[0]}_pads`), [pads.length], pads))];
  if (value !== 0) inputs.push(add(float32Tensor(freshName(`${node.output[0]}_value`), [], [value])));
  return [withInputs(without(node, ['pads', 'value']), inputs)];
}

/** Since 11 `Resize` says how places correspond; before, place x of the output was x / scale of the input, rounded down. */
function resizeWithPlaces(
  node: NodeProto,
  { constantOf, add, freshName }: UpgradeParts,
): readonly NodeProto[] | string {
  const [input = '', scales = ''] = node.input;
  const tensor = constantOf(scales);
  const known = tensor?.dataType === TensorProto_DataType.FLOAT ? readFloats(tensor) : undefined;
  // When it shrank a picture, runtimes rounded in ways of their own.
  if (known === undefined || known.some((scale) => scale < 1))
    return 'may shrink its input, which changed its meaning';
  const attribute = [
    ...node.attribute,
    makeAttribute('coordinate_transformation_mode', 'asymmetric'),
    makeAttribute('nearest_mode', 'floor'),
  ];
  // The region of interest is not read in this mode, but in opset 11 it may not be left out.
  const region = add(float32Tensor(freshName(`${node.output[0]}_roi`), [0], []));
  return [withFields(node, { attribute, input: [input, region, scales] })];
}

/**
 * Before 13, softmax over `axis` (1 unless said) took all axes from there on as one. Now it takes one axis: the input is flattened
 * to a matrix, as the old meaning has it, and the result gets the shape back.
 */
function flattenFirst(node: NodeProto, { freshName }: UpgradeParts): readonly NodeProto[] {
  const axis = intAttribute(node, 'axis', 1);
  const [input = ''] = node.input;
  const [output = ''] = node.output;
  const attribute = [makeAttribute('axis', -1)];
  if (axis === -1) return [withFields(node, { attribute })];
  const [matrix, result, shape] = [
    freshName(`${output}_flat`),
    freshName(`${output}_rows`),
    freshName(`${output}_shape`),
  ];
  return [
    makeNode('Shape', [input], [shape]),
    makeNode('Flatten', [input], [matrix], { axis }),
    withFields(node, { attribute, input: [matrix], output: [result] }),
    makeNode('Reshape', [result, shape], [output]),
  ];
}
