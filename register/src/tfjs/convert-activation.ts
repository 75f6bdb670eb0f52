import { floatAttribute } from '../onnx/nodes.ts';
import { constantInOrder, elementwise } from './broadcast.ts';
import { type Context, type Convert, computedInput, constantInput, optionalNumber } from './context.ts';
import { add, mapped, multiply } from './convert-arithmetic.ts';
import { isSize } from './dimension.ts';
import { inOrder, stored } from './layout.ts';
import { type Activation, operation, scalar, type TfNode } from './tf-graph.ts';
import { unsupported } from './unsupported.ts';
import { type Computed, type Constant, computed, linearBehind, naturalOrder } from './value.ts';

/** Largest finite fp32 number: a bound that bounds nothing. WGSL need not know infinities. */
export const LARGEST_FLOAT = 3.4028234663852886e38;

/** Operators that are one operation of the same meaning in tfjs. */
const SAME: Readonly<Record<string, string>> = {
  Abs: 'Abs',
  Erf: 'Erf',
  Exp: 'Exp',
  Log: 'Log',
  Neg: 'Neg',
  Sigmoid: 'Sigmoid',
  Softplus: 'Softplus',
  Sqrt: 'Sqrt',
  Tanh: 'Tanh',
};

/** An operator of `SAME`. */
export const convertSame: Convert = (node, inputs, context) => [
  mapped(SAME[node.opType] ?? node.opType, computedInput(inputs, 0), context),
];

/** max(x, 0). */
export const convertRelu: Convert = (_, inputs, context) => [
  activated('Relu', computedInput(inputs, 0), context),
];

/** min(max(x, low), high). Bounds are attributes below opset 11 and inputs from it on. */
export const convertClip: Convert = (node, inputs, context) => {
  const value = computedInput(inputs, 0);
  const low = optionalNumber(inputs, 1) ?? floatAttribute(node, 'min', -LARGEST_FLOAT);
  const high = optionalNumber(inputs, 2) ?? floatAttribute(node, 'max', LARGEST_FLOAT);
  if (low === 0 && high === 6) return [activated('Relu6', value, context)];
  if (low === 0 && high >= LARGEST_FLOAT) return [activated('Relu', value, context)];
  return [clipped(value, low, high, context)];
};

/** x above 0 and α x below. */
export const convertLeakyRelu: Convert = (node, inputs, context) => [
  onNode(computedInput(inputs, 0), context, (source) =>
    operation('LeakyRelu', [source], { alpha: { f: floatAttribute(node, 'alpha', 0.01) } }),
  ),
];

/** f(x) = α (e^x − 1) below 0 and x above; tfjs knows α = 1, others are α Elu(min(x, 0)) + Relu(x). */
export const convertElu: Convert = (node, inputs, context) => {
  const value = computedInput(inputs, 0);
  const alpha = floatAttribute(node, 'alpha', 1);
  if (alpha === 1) return [mapped('Elu', value, context)];
  const below = mapped('Elu', elementwise('Minimum', value, number(0), context.layouts), context);
  return [
    elementwise('AddV2', multiply(below, alpha, context), mapped('Relu', value, context), context.layouts),
  ];
};

/** f(x) = max(0, min(1, α x + β)). */
export const convertHardSigmoid: Convert = (node, inputs, context) => {
  const alpha = floatAttribute(node, 'alpha', 0.2);
  const beta = floatAttribute(node, 'beta', 0.5);
  const line = add(multiply(computedInput(inputs, 0), alpha, context), number(beta), context);
  return [clipped(line, 0, 1, context)];
};

/** f(x) = x max(0, min(1, x / 6 + 1 / 2)) = x / 6 · Relu6(x + 3). */
export const convertHardSwish: Convert = (_, inputs, context) => {
  // Read twice, so that nothing may be folded into what gives it.
  const value: Computed = { ...computedInput(inputs, 0), isExclusive: false };
  const gate = mapped('Relu6', add(value, number(3), context), context);
  return [elementwise('Mul', multiply(value, 1 / 6, context), gate, context.layouts)];
};

/** x above 0 and slope x below, with one slope or one for each channel of axis 1: the wasm backend broadcasts no others. */
export const convertPRelu: Convert = (_, inputs, context) => {
  const value = computedInput(inputs, 0);
  const slope = constantInput(inputs, 1);
  const order = channelsLast(value.shape.length);
  const perChannel = constantInOrder(slope, order);
  const { length } = slope.values;
  if (
    perChannel.kind !== 'constant' ||
    perChannel.shape.length > 1 ||
    (length > 1 && !isSize(value.shape[1] ?? NONE, length))
  ) {
    throw unsupported('one slope or one for each channel', `slopes [${slope.shape}]`);
  }
  const source = inOrder(value, order, context.layouts);
  return [computed(operation('Prelu', [source, perChannel]), value.shape, order)];
};

const NONE = { size: 0, free: [] };

/** Batch, everything between, channels. */
function channelsLast(rank: number): readonly number[] {
  const [batch = 0, channels, ...others] = naturalOrder(rank);
  return channels === undefined ? naturalOrder(rank) : [batch, ...others, channels];
}

/** An activation, fused into the convolution or product that gives `value` where nothing else reads that. */
function activated(activation: Activation, value: Computed, context: Context): Computed {
  const node = linearBehind(value)?.node;
  if (node === undefined || node.activation !== undefined) return mapped(activation, value, context);
  node.activation = activation;
  return value;
}

function clipped(value: Computed, low: number, high: number, context: Context): Computed {
  return onNode(value, context, (source) =>
    operation('ClipByValue', [
      source,
      scalar(Math.max(low, -LARGEST_FLOAT)),
      scalar(Math.min(high, LARGEST_FLOAT)),
    ]),
  );
}

function onNode(value: Computed, { layouts }: Context, make: (source: TfNode) => TfNode): Computed {
  const { node, order } = stored(value, layouts);
  return computed(make(node), value.shape, order);
}

function number(value: number): Constant {
  return { kind: 'constant', shape: [], values: Float32Array.of(value) };
}
