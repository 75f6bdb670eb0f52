import { type Dimension, isKnown, isSame, isSize, known, printShape } from './dimension.ts';
import { inOrder, type Layouts, reshaped, stored } from './layout.ts';
import { operation, type TfNode, weights } from './tf-graph.ts';
import { boundedElements, unsupported } from './unsupported.ts';
import { type Computed, type Constant, computed, naturalOrder } from './value.ts';

/**
 * The shape that two shapes have together, as NumPy broadcasts (ONNX: docs/Broadcasting.md). Two free axes of different names
 * are taken to be equal: nothing else can be run.
 */
export function broadcastShape(a: readonly Dimension[], b: readonly Dimension[]): Dimension[] {
  const rank = Math.max(a.length, b.length);
  const [first, second] = [padShape(a, rank), padShape(b, rank)];
  return first.map((left, axis) => {
    const right = second[axis] as Dimension;
    if (isSame(left, right) || isSize(right, 1)) return left;
    if (isSize(left, 1)) return right;
    if (isKnown(left) && isKnown(right)) {
      throw unsupported('shapes that can be broadcast', `${printShape(a)} and ${printShape(b)}`);
    }
    return isKnown(right) ? right : left;
  });
}

function padShape(shape: readonly Dimension[], rank: number): Dimension[] {
  return [...Array.from({ length: rank - shape.length }, () => known(1)), ...shape];
}

/** An element-by-element operation of two operands on a tfjs backend. */
export function elementwise(
  op: string,
  a: Constant | Computed,
  b: Constant | Computed,
  layouts: Layouts,
): Computed {
  const shape = broadcastShape(shapeOf(a), shapeOf(b));
  const order = orderFor([a, b], shape.length, layouts);
  const operand = (value: Constant | Computed): TfNode =>
    value.kind === 'constant'
      ? constantInOrder(value, order)
      : inOrder(reshaped(value, padShape(value.shape, shape.length), layouts), order, layouts);
  return computed(operation(op, [operand(a), operand(b)]), shape, order);
}

/** The shape of a float value. */
export function shapeOf(value: Constant | Computed): readonly Dimension[] {
  return value.kind === 'constant' ? value.shape.map(known) : value.shape;
}

/**
 * The order in which values of this rank meet: that of the first one that is not in ONNX's order, since that is where
 * convolutions left it and where the next one wants it.
 */
export function orderFor(
  values: readonly (Constant | Computed)[],
  rank: number,
  layouts: Layouts,
): readonly number[] {
  const natural = naturalOrder(rank);
  for (const value of values) {
    if (value.kind === 'constant' || value.shape.length !== rank) continue;
    const { order } = stored(value, layouts);
    if (order.join() !== natural.join()) return order;
  }
  return natural;
}

/** A constant operand with its axes in `order`, without axes of length 1 before the others: broadcasting adds them. */
export function constantInOrder(constant: Constant, order: readonly number[]): TfNode {
  const shape = [...Array.from({ length: order.length - constant.shape.length }, () => 1), ...constant.shape];
  const moved = permuted({ ...constant, shape }, order);
  const first = moved.shape.findIndex((size) => size !== 1);
  return weights(first < 0 ? [] : moved.shape.slice(first), moved.values);
}

/** A constant whose k-th axis is axis `order[k]` of the one given. */
export function permuted(constant: Constant, order: readonly number[]): Constant {
  const shape = order.map((axis) => constant.shape[axis] ?? 1);
  const steps = stepsOf(constant.shape);
  const values = gather(
    constant.values,
    shape,
    order.map((axis) => steps[axis] ?? 0),
  );
  return { kind: 'constant', shape, values };
}

/** Elements to go on by in memory for one step along each axis. */
function stepsOf(shape: readonly number[]): number[] {
  return shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
}

/** Elements in the order of `shape`, where one step along an axis goes on by `steps[axis]` in `values`. */
function gather(values: Float32Array, shape: readonly number[], steps: readonly number[]): Float32Array {
  const count = shape.reduce((product, size) => product * size, 1);
  const gathered = new Float32Array(count);
  const place = shape.map(() => 0);
  let source = 0;
  for (let index = 0; index < count; index += 1) {
    gathered[index] = values[source] ?? 0;
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      const next = (place[axis] ?? 0) + 1;
      source += steps[axis] ?? 0;
      if (next < (shape[axis] ?? 1)) {
        place[axis] = next;
        break;
      }
      source -= next * (steps[axis] ?? 0);
      place[axis] = 0;
    }
  }
  return gathered;
}

/** A constant repeated along the axes in which `shape` is longer. */
export function expanded({ shape: from, values }: Constant, shape: readonly number[]): Float32Array {
  const padded = [...Array.from({ length: shape.length - from.length }, () => 1), ...from];
  const steps = stepsOf(padded).map((step, axis) => (padded[axis] === 1 ? 0 : step));
  return gather(values, shape, steps);
}

/** An element-by-element operation of two constants. */
export function foldConstants(a: Constant, b: Constant, combine: (a: number, b: number) => number): Constant {
  const shape = broadcastShape(shapeOf(a), shapeOf(b)).map(({ size }) => size);
  boundedElements(shape.reduce((product, size) => product * size, 1));
  const [left, right] = [expanded(a, shape), expanded(b, shape)];
  return { kind: 'constant', shape, values: left.map((value, index) => combine(value, right[index] ?? 0)) };
}
