import { TensorProto_DataType } from '../onnx/generated/onnx_pb.ts';
import { intAttribute, intsAttribute } from '../onnx/nodes.ts';
import { datatypeName } from '../onnx/tensor-data.ts';
import { permuted, shapeOf } from './broadcast.ts';
import { type Context, type Convert, expectOutputs, type Inputs, optionalIntegers } from './context.ts';
import { type Dimension, isKnown, isSize, known, printShape, product, quotient } from './dimension.ts';
import { axisOf, placesOf, reshaped, stored } from './layout.ts';
import { integer, operation } from './tf-graph.ts';
import { unsupported } from './unsupported.ts';
import {
  type Computed,
  type Constant,
  computed,
  type Integers,
  isFloat,
  naturalOrder,
  type Value,
} from './value.ts';

/** Identity, and Dropout, which is one when a model is not trained. */
export const convertIdentity: Convert = (node, inputs, context) => {
  expectOutputs(node, 1, context);
  if (node.opType === 'Dropout' && optionalIntegers(inputs, 2)?.[0] === 1) {
    throw unsupported('training_mode to be off', 'on');
  }
  return [input(inputs)];
};

/** A cast that changes nothing here: floats to FLOAT, integers of shapes to FLOAT or to integers. */
export const convertCast: Convert = (node, inputs) => {
  const value = input(inputs);
  const to = intAttribute(node, 'to', 0);
  const { FLOAT, INT32, INT64 } = TensorProto_DataType;
  if (to === FLOAT && isFloat(value)) return [value];
  if ((to === INT32 || to === INT64) && value.kind === 'integers') return [value];
  if (to === FLOAT && value.kind === 'integers' && value.elements.every(isKnown)) {
    return [
      { kind: 'constant', shape: value.shape, values: Float32Array.from(value.elements, ({ size }) => size) },
    ];
  }
  throw unsupported('a cast to FLOAT', `one of ${value.kind} values to ${datatypeName(to)}`);
};

/** The shape of a value, which is known but for free axes. */
export const convertShape: Convert = (node, inputs) => {
  const value = input(inputs);
  const shape = isFloat(value) ? shapeOf(value) : value.shape.map(known);
  const elements = shape.slice(intAttribute(node, 'start', 0), intAttribute(node, 'end', shape.length));
  return [{ kind: 'integers', shape: [elements.length], elements }];
};

/** Elements of a shape. */
export const convertGather: Convert = (_, inputs) => {
  const value = input(inputs);
  const indices = inputs[1];
  if (value.kind !== 'integers' || indices?.kind !== 'integers') {
    throw unsupported('elements of a shape', 'floats');
  }
  const elements = indices.elements.map(
    ({ size }) => value.elements[axisOf(size, value.elements.length)] as Dimension,
  );
  return [{ kind: 'integers', shape: indices.shape, elements }];
};

/** Reshape to a shape that is constant or computed from shapes. */
export const convertReshape: Convert = (node, inputs, context) => {
  const value = input(inputs);
  const target = inputs[1];
  if (target?.kind !== 'integers') throw unsupported('a shape that is known', 'one that is computed');
  const shape = isFloat(value) ? shapeOf(value) : value.shape.map(known);
  const copiesZeros = intAttribute(node, 'allowzero', 0) === 0;
  return [inShape(value, fillIn(shape, target.elements, copiesZeros), context)];
};

/** Flatten: the axes before `axis` become one, and those from it on. */
export const convertFlatten: Convert = (node, inputs, context) => {
  const value = input(inputs);
  if (!isFloat(value)) throw unsupported('floats', 'integers');
  const shape = shapeOf(value);
  const axis = intAttribute(node, 'axis', 1);
  const split = axis === shape.length ? axis : axisOf(axis, shape.length);
  return [inShape(value, [product(shape.slice(0, split)), product(shape.slice(split))], context)];
};

/** Transpose: axes get other names, and nothing moves. */
export const convertTranspose: Convert = (node, inputs, context) => {
  const value = input(inputs);
  if (!isFloat(value)) throw unsupported('floats', 'integers');
  const { length: rank } = value.shape;
  const axes = intsAttribute(node, 'perm') ?? naturalOrder(rank).toReversed();
  if (axes.toSorted((a, b) => a - b).join() !== naturalOrder(rank).join()) {
    throw unsupported(`a permutation of ${rank} axes`, `${axes}`);
  }
  if (value.kind === 'constant') return [permuted(value, axes)];
  const { node: source, order } = stored(value, context.layouts);
  const shape = axes.map((axis) => value.shape[axis] as Dimension);
  const storage = { kind: 'node', node: source, order: order.map((axis) => axes.indexOf(axis)) } as const;
  return [{ ...value, shape, storage }];
};

/** Squeeze. Axes are an input from opset 13 on, an attribute before; none named = all of size 1. */
export const convertSqueeze: Convert = (node, inputs, context) => {
  const value = input(inputs);
  const shape = isFloat(value) ? shapeOf(value) : value.shape.map(known);
  const named = optionalIntegers(inputs, 1) ?? intsAttribute(node, 'axes');
  const axes =
    named?.map((axis) => axisOf(axis, shape.length)) ??
    naturalOrder(shape.length).filter((axis) => isSize(shape[axis] as Dimension, 1));
  if (!axes.every((axis) => isSize(shape[axis] as Dimension, 1))) {
    throw unsupported(`axes of size 1 at ${axes}`, printShape(shape));
  }
  const isLeft = (axis: number) => !axes.includes(axis);
  const left = naturalOrder(shape.length).filter(isLeft);
  const rest = left.map((axis) => shape[axis] as Dimension);
  if (value.kind !== 'computed' || value.storage.kind === 'reshape') return [inShape(value, rest, context)];
  if (axes.length === 0) return [value];
  const { node: source, order } = value.storage;
  const squeezed = operation('Squeeze', [source], { squeeze_dims: { list: placesOf(axes, order) } });
  return [
    computed(
      squeezed,
      rest,
      order.filter(isLeft).map((axis) => left.indexOf(axis)),
    ),
  ];
};

/** Unsqueeze. Axes are an input from opset 13 on, an attribute before. */
export const convertUnsqueeze: Convert = (node, inputs, context) => {
  const value = input(inputs);
  const shape = isFloat(value) ? shapeOf(value) : value.shape.map(known);
  const named = optionalIntegers(inputs, 1) ?? intsAttribute(node, 'axes') ?? [];
  const axes = named.map((axis) => axisOf(axis, shape.length + named.length)).toSorted((a, b) => a - b);
  const longer = [...shape];
  for (const axis of axes) longer.splice(axis, 0, known(1));
  if (value.kind !== 'computed' || value.storage.kind === 'reshape') return [inShape(value, longer, context)];
  // In memory the new axes come first, unless all others are in ONNX's order: wherever they are, no bytes move.
  let { node: source, order } = value.storage;
  const isNatural = order.join() === naturalOrder(shape.length).join();
  for (const axis of axes) {
    const place = isNatural ? axis : 0;
    source = operation('ExpandDims', [source, integer(place)], { Tdim: { type: 'DT_INT32' } });
    order = order.map((other) => (other >= axis ? other + 1 : other)).toSpliced(place, 0, axis);
  }
  return [computed(source, longer, order)];
};

function input(inputs: Inputs): Value {
  const [value] = inputs;
  if (value === undefined) throw unsupported('an input', 'none');
  return value;
}

function inShape(
  value: Value,
  shape: readonly Dimension[],
  context: Context,
): Constant | Integers | Computed {
  if (value.kind === 'computed') return reshaped(value, shape, context.layouts);
  if (!shape.every(isKnown)) throw unsupported('a known shape for a constant', printShape(shape));
  return { ...value, shape: shape.map(({ size }) => size) };
}

/** The shape that a Reshape asks for: 0 copies an axis, -1 is what is left (ONNX: docs/Operators.md, Reshape). */
function fillIn(
  shape: readonly Dimension[],
  target: readonly Dimension[],
  copiesZeros: boolean,
): readonly Dimension[] {
  const copied = target.map((size, axis) =>
    copiesZeros && isSize(size, 0) ? (shape[axis] ?? known(1)) : size,
  );
  const others = product(copied.filter((size) => !isSize(size, -1)));
  const whole = product(shape);
  const rest = quotient(whole, others);
  const hasRest = copied.some((size) => isSize(size, -1));
  if (hasRest && rest === undefined) {
    throw unsupported(
      'a shape whose open axis can be told',
      `${printShape(copied)} for ${printShape(shape)}`,
    );
  }
  if (!hasRest && isKnown(whole) && isKnown(others) && whole.size !== others.size) {
    throw unsupported(`a shape of ${whole.size} elements`, printShape(copied));
  }
  return copied.map((size) => (isSize(size, -1) ? (rest as Dimension) : size));
}
