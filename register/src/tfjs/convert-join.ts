import { floatAttribute, intAttribute, intsAttribute, stringAttribute } from '../onnx/nodes.ts';
import { orderFor, permuted, shapeOf } from './broadcast.ts';
import { type Convert, computedInput, floatInput, optionalIntegers, optionalNumber } from './context.ts';
import { type Dimension, isKnown, known, printShape, unknown } from './dimension.ts';
import { axisOf, inOrder, stored } from './layout.ts';
import { nameOf } from './onnx-graph.ts';
import { integer, integers, operation, scalar, type TfNode, weights } from './tf-graph.ts';
import { unsupported } from './unsupported.ts';
import { computed } from './value.ts';

/** Concat, of shapes as well. */
export const convertConcat: Convert = (node, inputs, { layouts }) => {
  const shapes = inputs.flatMap((value) => (value?.kind === 'integers' ? [value] : []));
  if (shapes.length === inputs.length) {
    const elements = shapes.flatMap((value) => value.elements);
    return [{ kind: 'integers', shape: [elements.length], elements }];
  }
  const values = inputs.map((_, index) => floatInput(inputs, index));
  const rank = values[0]?.shape.length ?? 0;
  const axis = axisOf(intAttribute(node, 'axis', 1), rank);
  const order = orderFor(values, rank, layouts);
  const parts = values.map((value): TfNode => {
    if (value.shape.length !== rank) throw unsupported(`values of rank ${rank}`, printShape(shapeOf(value)));
    if (value.kind === 'computed') return inOrder(value, order, layouts);
    const moved = permuted(value, order);
    return weights(moved.shape, moved.values);
  });
  const joined = operation('ConcatV2', [...parts, integer(order.indexOf(axis))], {
    N: { i: parts.length },
    Tidx: { type: 'DT_INT32' },
  });
  const sizesAt = (place: number) => values.map((value) => shapeOf(value)[place] as Dimension);
  const shape = Array.from({ length: rank }, (_, place) => {
    const sizes = sizesAt(place);
    if (place !== axis) return sizes.find(isKnown) ?? (sizes[0] as Dimension);
    const total = sizes.reduce((sum, { size }) => sum + size, 0);
    return sizes.every(isKnown) ? known(total) : unknown(`${nameOf(node)}/${axis}`);
  });
  return [computed(joined, shape, order)];
};

/** Constant padding. Pads, the value and, from opset 18 on, axes are inputs from opset 11 on; before, attributes. */
export const convertPad: Convert = (node, inputs, { layouts }) => {
  const mode = stringAttribute(node, 'mode', 'constant');
  if (mode !== 'constant') throw unsupported('mode "constant"', `"${mode}"`);
  const value = computedInput(inputs, 0);
  const rank = value.shape.length;
  const pads = optionalIntegers(inputs, 1) ?? intsAttribute(node, 'pads') ?? [];
  const axes =
    optionalIntegers(inputs, 3)?.map((axis) => axisOf(axis, rank)) ?? value.shape.map((_, axis) => axis);
  if (pads.length !== 2 * axes.length) throw unsupported(`${2 * axes.length} pads`, `${pads.length}`);
  if (pads.some((pad) => pad < 0)) throw unsupported('pads from 0', `${pads}`);
  const padding = value.shape.map((_, axis): [number, number] => {
    const index = axes.indexOf(axis);
    return index < 0 ? [0, 0] : [pads[index] ?? 0, pads[index + axes.length] ?? 0];
  });
  const { node: source, order } = stored(value, layouts);
  const filler = optionalNumber(inputs, 2) ?? floatAttribute(node, 'value', 0);
  const paddings = integers(
    order.flatMap((axis) => padding[axis] ?? [0, 0]),
    [rank, 2],
  );
  const padded = operation('PadV2', [source, paddings, scalar(filler)], { Tpaddings: { type: 'DT_INT32' } });
  const shape = value.shape.map((size, axis) => {
    const total = (padding[axis] ?? []).reduce((sum, pad) => sum + pad, 0);
    if (total === 0) return size;
    return isKnown(size) ? known(size.size + total) : unknown(`${nameOf(node)}/${axis}`);
  });
  return [computed(padded, shape, order)];
};
