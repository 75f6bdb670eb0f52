import { intAttribute } from '../onnx/nodes.ts';
import { type Context, type Convert, computedInput } from './context.ts';
import { isSize, product } from './dimension.ts';
import { axisOf, inOrder, reshaped, stored } from './layout.ts';
import { operation } from './tf-graph.ts';
import { type Computed, computed } from './value.ts';

/**
 * Softmax and LogSoftmax (ONNX: docs/Operators.md, docs/Changelog.md). From opset 13 on along one axis, by default the last;
 * below, along all axes from `axis` on together, by default 1. tfjs does the axis that is last in memory.
 */
export const convertSoftmax: Convert = (node, inputs, context) => {
  const value = computedInput(inputs, 0);
  const { length: rank } = value.shape;
  const axis = axisOf(intAttribute(node, 'axis', context.opset < 13 ? 1 : -1), rank);
  if (context.opset >= 13) return [along(node.opType, value, axis, context)];

  const joint = value.shape.slice(axis);
  const long = joint.flatMap((size, index) => (isSize(size, 1) ? [] : [axis + index]));
  if (long.length <= 1) return [along(node.opType, value, long[0] ?? axis, context)];
  const matrix = reshaped(value, [product(value.shape.slice(0, axis)), product(joint)], context.layouts);
  return [reshaped(along(node.opType, matrix, 1, context), value.shape, context.layouts)];
};

function along(op: string, value: Computed, axis: number, { layouts }: Context): Computed {
  const { order } = stored(value, layouts);
  const last = [...order.filter((other) => other !== axis), axis];
  return computed(operation(op, [inOrder(value, last, layouts)]), value.shape, last);
}
