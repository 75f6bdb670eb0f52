import { type Dimension, isKnown, isSame, isSize, printShape, sizeOrFree } from './dimension.ts';
import { integers, operation, type TfNode } from './tf-graph.ts';
import { unsupported } from './unsupported.ts';
import { type Computed, computed, naturalOrder, type Storage } from './value.ts';

/** Batch, height, width, channels: the order that tfjs convolves and pools in. */
export const NHWC: readonly number[] = [0, 2, 3, 1];

/** What was brought into another order before, so that two readers share it. */
export interface Layouts {
  readonly orders: WeakMap<TfNode, Map<string, TfNode>>;
  readonly reshapes: WeakMap<Storage, TfNode>;
}

/** The node that gives `value`, and the order of its axes in memory. */
export function stored(value: Computed, layouts: Layouts): { node: TfNode; order: readonly number[] } {
  const { storage } = value;
  if (storage.kind === 'node') return storage;
  const natural = naturalOrder(value.shape.length);
  const kept = layouts.reshapes.get(storage);
  if (kept !== undefined) return { node: kept, order: natural };
  const source = inOrder(storage.source, naturalOrder(storage.source.shape.length), layouts);
  const node = reshapeNode(source, value.shape);
  layouts.reshapes.set(storage, node);
  return { node, order: natural };
}

/** The node that gives `value` with its axes in `order`. Moves memory only where axes longer than 1 change places. */
export function inOrder(value: Computed, order: readonly number[], layouts: Layouts): TfNode {
  const { node, order: current } = stored(value, layouts);
  if (current.join() === order.join()) return node;
  const kept = layouts.orders.get(node) ?? new Map<string, TfNode>();
  layouts.orders.set(node, kept);
  const shape = order.map((axis) => value.shape[axis] as Dimension);
  // One node may stand for values whose axes have other names: what it is brought into decides, not what that is called.
  const permutation = order.map((axis) => current.indexOf(axis));
  const key = permutation.join();
  const moved =
    kept.get(key) ??
    (movesMemory(value.shape, current, order)
      ? operation('Transpose', [node, integers(permutation)])
      : reshapeNode(node, shape));
  kept.set(key, moved);
  return moved;
}

/** Whether bytes move between two orders; those of axes of length 1 do not. Free axes are taken to be longer. */
function movesMemory(shape: readonly Dimension[], from: readonly number[], to: readonly number[]): boolean {
  const isLong = (axis: number) => !isSize(shape[axis] as Dimension, 1);
  const long = [from, to].map((order) => order.filter(isLong).join());
  // A Reshape can leave only one free axis to be found out; a Transpose needs to know none.
  return long[0] !== long[1] || shape.filter((dimension) => !isKnown(dimension)).length > 1;
}

/** `value` in another shape of as many elements. */
export function reshaped(value: Computed, shape: readonly Dimension[], layouts: Layouts): Computed {
  if (isSameShape(shape, value.shape)) return value;
  const { storage, isExclusive } = value;
  if (storage.kind === 'reshape') {
    const { source } = storage;
    if (isSameShape(shape, source.shape)) {
      return { ...source, isExclusive: isExclusive && source.isExclusive };
    }
    return { ...value, shape, storage: { kind: 'reshape', source } };
  }
  const natural = naturalOrder(value.shape.length);
  if (movesMemory(value.shape, storage.order, natural)) {
    return { ...value, shape, storage: { kind: 'reshape', source: value } };
  }
  return computed(reshapeNode(inOrder(value, natural, layouts), shape), shape);
}

function isSameShape(a: readonly Dimension[], b: readonly Dimension[]): boolean {
  return a.length === b.length && a.every((size, axis) => isSame(size, b[axis] as Dimension));
}

function reshapeNode(node: TfNode, shape: readonly Dimension[]): TfNode {
  if (shape.filter((dimension) => !isKnown(dimension)).length > 1) {
    throw unsupported('at most one free axis in a reshape', printShape(shape));
  }
  // Of two reshapes in a row the second one decides.
  const source = node.kind === 'operation' && node.op === 'Reshape' ? (node.inputs[0] ?? node) : node;
  return operation('Reshape', [source, integers(shape.map(sizeOrFree))], { Tshape: { type: 'DT_INT32' } });
}

/** The places in memory of axes that ONNX counts, ascending. */
export function placesOf(axes: readonly number[], order: readonly number[]): number[] {
  return axes.map((axis) => order.indexOf(axis)).toSorted((a, b) => a - b);
}

/** An axis counted from 0, where ONNX lets negative ones count from the end. */
export function axisOf(axis: number, rank: number): number {
  const found = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(found) || found < 0 || found >= rank) {
    throw unsupported(`an axis of a value of rank ${rank}`, `${axis}`);
  }
  return found;
}
