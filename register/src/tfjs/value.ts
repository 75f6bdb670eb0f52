import { type Dimension, isSame, known } from './dimension.ts';
import { type LinearNode, type TfNode, weights } from './tf-graph.ts';

/** Numbers of the file: fp32 weights. */
export interface Constant {
  readonly kind: 'constant';
  readonly shape: readonly number[];
  /** May be a view of the file: not to be written to. */
  readonly values: Float32Array;
}

/** Integers that are known before the model runs, but for free axes: shapes, axes, pads. */
export interface Integers {
  readonly kind: 'integers';
  readonly shape: readonly number[];
  readonly elements: readonly Dimension[];
}

/** What the graph computes. */
export interface Computed {
  readonly kind: 'computed';
  /** Axes as ONNX counts them. */
  readonly shape: readonly Dimension[];
  readonly storage: Storage;
  /** Whether nothing else reads it, so that what follows may be folded into the node that gives it. */
  readonly isExclusive: boolean;
}

/**
 * Where a computed value is. In a `node`, the axis that comes k-th in memory is ONNX's axis `order[k]`: after a convolution
 * [0, 2, 3, 1], that is NHWC. So a Transpose moves nothing, it only renames axes. A `reshape` in any other order than ONNX's
 * would first have to bring its source back into that; it waits for a reader that can do without.
 */
export type Storage =
  | { readonly kind: 'node'; readonly node: TfNode; readonly order: readonly number[] }
  | { readonly kind: 'reshape'; readonly source: Computed };

/** What a name of the ONNX graph stands for. */
export type Value = Constant | Integers | Computed;

/** [0, 1, …]: axes in ONNX's order. */
export function naturalOrder(rank: number): number[] {
  return Array.from({ length: rank }, (_, axis) => axis);
}

/** What a new node gives, in ONNX's order unless another one is named. */
export function computed(
  node: TfNode,
  shape: readonly Dimension[],
  order: readonly number[] = naturalOrder(shape.length),
): Computed {
  return { kind: 'computed', shape, storage: { kind: 'node', node, order }, isExclusive: true };
}

/** A float value as one that is computed. */
export function asComputed(value: Constant | Computed): Computed {
  if (value.kind === 'computed') return value;
  return computed(weights(value.shape, value.values), value.shape.map(known));
}

/** Whether the value holds fp32 numbers. */
export function isFloat(value: Value): value is Constant | Computed {
  return value.kind !== 'integers';
}

/**
 * The convolution or product that gives `value` and nothing else, so that it may be changed, and the order of the value's axes
 * with its channels last; also behind a reshape of the axes before the channels.
 */
export function linearBehind(
  value: Computed,
): { readonly node: LinearNode; readonly order: readonly number[] } | undefined {
  const { storage, shape, isExclusive } = value;
  if (!isExclusive) return undefined;
  if (storage.kind === 'node') {
    const { node, order } = storage;
    return node.kind === 'linear' ? { node, order } : undefined;
  }
  const source = linearBehind(storage.source);
  const isLastInBoth = source?.order.at(-1) === storage.source.shape.length - 1;
  const [channels, sourceChannels] = [shape.at(-1), storage.source.shape.at(-1)];
  if (source === undefined || !isLastInBoth || channels === undefined || sourceChannels === undefined) {
    return undefined;
  }
  return isSame(channels, sourceChannels)
    ? { node: source.node, order: naturalOrder(shape.length) }
    : undefined;
}
