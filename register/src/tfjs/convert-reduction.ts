import { intAttribute, intsAttribute } from '../onnx/nodes.ts';
import { type Context, type Convert, computedInput, optionalIntegers } from './context.ts';
import { known } from './dimension.ts';
import { axisOf, placesOf, stored } from './layout.ts';
import { integers, operation } from './tf-graph.ts';
import { type Computed, computed, naturalOrder } from './value.ts';

const REDUCTIONS: Readonly<Record<string, string>> = {
  ReduceMean: 'Mean',
  ReduceSum: 'Sum',
  ReduceMax: 'Max',
  ReduceMin: 'Min',
};

/** Axes are an attribute, and an input from opset 13 (ReduceSum) or 18 on; none of them means all. */
export const convertReduction: Convert = (node, inputs, context) => {
  const value = computedInput(inputs, 0);
  const rank = value.shape.length;
  const named = optionalIntegers(inputs, 1) ?? intsAttribute(node, 'axes') ?? [];
  if (named.length === 0 && intAttribute(node, 'noop_with_empty_axes', 0) === 1) return [value];
  const axes = named.length === 0 ? naturalOrder(rank) : named.map((axis) => axisOf(axis, rank));
  return [
    reduce(
      REDUCTIONS[node.opType] ?? node.opType,
      value,
      axes,
      intAttribute(node, 'keepdims', 1) === 1,
      context,
    ),
  ];
};

/** GlobalAveragePool and GlobalMaxPool: everything behind the channels becomes one element. */
export const convertGlobalPool: Convert = (node, inputs, context) => {
  const value = computedInput(inputs, 0);
  const axes = naturalOrder(value.shape.length).slice(2);
  return [reduce(node.opType === 'GlobalMaxPool' ? 'Max' : 'Mean', value, axes, true, context)];
};

function reduce(
  op: string,
  value: Computed,
  axes: readonly number[],
  keepsAxes: boolean,
  { layouts }: Context,
): Computed {
  const { node, order } = stored(value, layouts);
  const isReduced = (axis: number) => axes.includes(axis);
  const result = operation(op, [node, integers(placesOf(axes, order))], {
    keep_dims: { b: keepsAxes },
    Tidx: { type: 'DT_INT32' },
  });
  if (keepsAxes) {
    return computed(
      result,
      value.shape.map((size, axis) => (isReduced(axis) ? known(1) : size)),
      order,
    );
  }
  const left = naturalOrder(value.shape.length).filter((axis) => !isReduced(axis));
  const shape = value.shape.filter((_, axis) => !isReduced(axis));
  return computed(
    result,
    shape,
    order.filter((axis) => !isReduced(axis)).map((axis) => left.indexOf(axis)),
  );
}
