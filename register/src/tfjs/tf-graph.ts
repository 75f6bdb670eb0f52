/** A number list, flag, text or type as an attribute of a GraphDef node. */
export type TfAttribute =
  | { readonly type: 'DT_FLOAT' | 'DT_INT32' }
  | { readonly b: boolean }
  | { readonly f: number }
  | { readonly i: number }
  | { readonly s: string }
  | { readonly shape: readonly number[] }
  | { readonly list: readonly number[] }
  | { readonly texts: readonly string[] };

/** By name. */
export type TfAttributes = Readonly<Record<string, TfAttribute>>;

/** A model input. */
export interface InputNode {
  readonly kind: 'input';
  name: string;
  /** -1 for a free axis. */
  readonly shape: readonly number[];
}

/** Numbers that are written to the weights' file. */
export interface ConstantNode {
  readonly kind: 'constant';
  name: string | undefined;
  readonly shape: readonly number[];
  readonly values: Float32Array | Int32Array;
  /** Weights may be stored in fewer bits; parameters (bounds, paddings, shapes) may not. */
  readonly role: 'weights' | 'parameter';
}

/** An operation of tfjs-converter. */
export interface OperationNode {
  readonly kind: 'operation';
  name: string | undefined;
  readonly op: string;
  readonly inputs: readonly TfNode[];
  readonly attributes: TfAttributes;
}

/**
 * A convolution or matrix product with constant weights. It is written last of all, so that what follows it in the graph can be
 * folded into it meanwhile: factors and summands of its output channels, then one activation.
 */
export interface LinearNode {
  readonly kind: 'linear';
  name: string | undefined;
  readonly form: LinearForm;
  readonly inputs: readonly [TfNode];
  readonly attributes: TfAttributes;
  readonly kernelShape: readonly number[];
  /** Ours to write to. */
  readonly kernel: Float32Array;
  bias: Float32Array | undefined;
  activation: Activation | undefined;
  /** Only for `transposed-convolution`: [batch, height, width, channels] of the output. */
  readonly outputShape: TfNode | undefined;
}

/** Kernels are [height, width, input, output]; [height, width, channel, multiplier]; [height, width, output, input]; [input, output]. */
export type LinearForm =
  | 'convolution'
  | 'depthwise-convolution'
  | 'transposed-convolution'
  | 'matrix-product';

/** What every tfjs backend fuses into a convolution or a matrix product. */
export type Activation = 'Relu' | 'Relu6';

/** A node of the tfjs graph in the making. Names are given and changed until it is written. */
export type TfNode = InputNode | ConstantNode | OperationNode | LinearNode;

/** The type of everything that is computed on floats. */
export const FLOAT: TfAttributes = { T: { type: 'DT_FLOAT' } };

/** Any operation but those of `LinearNode`. */
export function operation(
  op: string,
  inputs: readonly TfNode[],
  attributes: TfAttributes = {},
): OperationNode {
  return { kind: 'operation', name: undefined, op, inputs, attributes: { ...FLOAT, ...attributes } };
}

/** fp32 numbers of the model. */
export function weights(shape: readonly number[], values: Float32Array): ConstantNode {
  return { kind: 'constant', name: undefined, shape, values, role: 'weights' };
}

/** One fp32 number. */
export function scalar(value: number): ConstantNode {
  return { kind: 'constant', name: undefined, shape: [], values: Float32Array.of(value), role: 'parameter' };
}

/** A list of int32, or for a `shape` of its own, say a matrix of them. */
export function integers(
  values: readonly number[],
  shape: readonly number[] = [values.length],
): ConstantNode {
  return { kind: 'constant', name: undefined, shape, values: Int32Array.from(values), role: 'parameter' };
}

/** One int32. */
export function integer(value: number): ConstantNode {
  return integers([value], []);
}

/** Number of output channels; the bias has one element for each. */
export function channelsOf({ form, kernelShape }: LinearNode): number {
  const [last = 0, beforeLast = 0] = kernelShape.toReversed();
  if (form === 'transposed-convolution') return beforeLast;
  return form === 'depthwise-convolution' ? beforeLast * last : last;
}

/** Multiplies each output channel of a linear node by its factor. */
export function scaleChannels(node: LinearNode, factors: Float32Array): void {
  const { form, kernel, kernelShape } = node;
  const channels = factors.length;
  // The output channel is the fastest axis, or the two fastest ones, except in a transposed convolution.
  const inner = form === 'transposed-convolution' ? (kernelShape.at(-1) ?? 1) : 1;
  for (const [index, value] of kernel.entries()) {
    kernel[index] = value * (factors[Math.floor(index / inner) % channels] ?? 1);
  }
  node.bias = node.bias?.map((value, channel) => value * (factors[channel] ?? 1));
}

/** Adds its summand to each output channel of a linear node. */
export function shiftChannels(node: LinearNode, summands: Float32Array): void {
  node.bias =
    node.bias === undefined
      ? summands.slice()
      : node.bias.map((value, channel) => value + (summands[channel] ?? 0));
}
