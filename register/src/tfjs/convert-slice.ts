import type { NodeProto } from '../onnx/generated/onnx_pb.ts';
import { intAttribute, intsAttribute } from '../onnx/nodes.ts';
import { type Convert, computedInput, type Inputs, optionalIntegers } from './context.ts';
import { type Dimension, isKnown, known, printShape } from './dimension.ts';
import { axisOf, type Layouts, stored } from './layout.ts';
import { integers, operation, type TfAttributes } from './tf-graph.ts';
import { unsupported } from './unsupported.ts';
import { type Computed, computed } from './value.ts';

/** What is kept of an axis. */
interface Range {
  readonly start: number;
  readonly step: number;
  /** Elements, or the axis' own size where all of it is kept. */
  readonly size: Dimension;
}

/** Slice with steps from 1. Starts, ends, axes and steps are inputs from opset 10 on; before, attributes. */
export const convertSlice: Convert = (node, inputs, { layouts }) => {
  const [value] = inputs;
  const bounds = readBounds(node, inputs);
  if (value?.kind === 'integers') {
    const range = rangeOf(known(value.elements.length), bounds[0]);
    const elements = value.elements.filter(
      (_, index) => index >= range.start && (index - range.start) % range.step === 0,
    );
    return [{ kind: 'integers', shape: [range.size.size], elements: elements.slice(0, range.size.size) }];
  }
  const source = computedInput(inputs, 0);
  const rank = source.shape.length;
  const ranges = source.shape.map((size): Range => ({ start: 0, step: 1, size }));
  for (const [index, bound] of bounds.entries()) {
    const axis = axisOf(bound.axis ?? index, rank);
    ranges[axis] = rangeOf(source.shape[axis] as Dimension, bound);
  }
  return [sliced(source, ranges, layouts)];
};

/** Split into parts of the sizes that are named, or into even ones. Sizes are an input from opset 13 on. */
export const convertSplit: Convert = (node, inputs, { layouts }) => {
  const source = computedInput(inputs, 0);
  const axis = axisOf(intAttribute(node, 'axis', 0), source.shape.length);
  const size = source.shape[axis] as Dimension;
  const parts = intAttribute(node, 'num_outputs', node.output.length);
  if (!isKnown(size)) throw unsupported('a known size of the axis to split', printShape(source.shape));
  const even = Math.ceil(size.size / parts);
  const sizes =
    optionalIntegers(inputs, 1) ??
    intsAttribute(node, 'split') ??
    Array.from({ length: parts }, (_, part) => Math.min(even, size.size - part * even));
  let start = 0;
  return sizes.map((part) => {
    const ranges = source.shape.map((whole, place): Range => {
      return place === axis ? { start, step: 1, size: known(part) } : { start: 0, step: 1, size: whole };
    });
    start += part;
    return sliced(source, ranges, layouts);
  });
};

interface Bound {
  readonly start: number;
  readonly end: number;
  readonly step: number;
  /** The axis, where axes are named. */
  readonly axis: number | undefined;
}

function readBounds(node: NodeProto, inputs: Inputs): Bound[] {
  const starts = optionalIntegers(inputs, 1) ?? intsAttribute(node, 'starts') ?? [];
  const ends = optionalIntegers(inputs, 2) ?? intsAttribute(node, 'ends') ?? [];
  const axes = optionalIntegers(inputs, 3) ?? intsAttribute(node, 'axes') ?? [];
  const steps = optionalIntegers(inputs, 4) ?? [];
  return starts.map((start, index) => ({
    start,
    end: ends[index] ?? Number.POSITIVE_INFINITY,
    step: steps[index] ?? 1,
    axis: axes[index],
  }));
}

/** ONNX counts negative bounds from the end and clamps what lies outside (docs/Operators.md, Slice). */
function rangeOf(size: Dimension, bound: Bound | undefined): Range {
  if (bound === undefined) return { start: 0, step: 1, size };
  const { start, end, step } = bound;
  if (step < 1) throw unsupported('steps from 1', `${step}`);
  if (!isKnown(size)) {
    const isWhole = start === 0 && step === 1 && end >= 2 ** 31 - 1;
    if (!isWhole) throw unsupported('a known size of the axis to slice', printShape([size]));
    return { start: 0, step: 1, size };
  }
  const clamp = (place: number) => Math.min(Math.max(place < 0 ? place + size.size : place, 0), size.size);
  const kept = Math.ceil((clamp(end) - clamp(start)) / step);
  if (kept < 1) throw unsupported('at least one element', `${start} to ${end} of ${size.size}`);
  return { start: clamp(start), step, size: known(kept) };
}

function sliced(value: Computed, ranges: readonly Range[], layouts: Layouts): Computed {
  const shape = ranges.map(({ size }) => size);
  if (
    ranges.every(
      ({ start, step, size }, axis) => start === 0 && step === 1 && isWhole(size, value.shape[axis]),
    )
  ) {
    return value;
  }
  const { node, order } = stored(value, layouts);
  const inMemory = order.map((axis) => ranges[axis] as Range);
  const starts = inMemory.map(({ start }) => start);
  const sizes = inMemory.map(({ size }) => (isKnown(size) ? size.size : -1));
  if (ranges.every(({ step }) => step === 1)) {
    return computed(operation('Slice', [node, integers(starts), integers(sizes)], INDEX), shape, order);
  }
  const steps = inMemory.map(({ step }) => step);
  const ends = inMemory.map(({ start, step, size }) => start + (size.size - 1) * step + 1);
  // A bit for each axis in memory that goes on to its end, since how long it is is not known.
  const endMask = inMemory.reduce((mask, { size }, place) => mask + (isKnown(size) ? 0 : 2 ** place), 0);
  const masks = { begin_mask: { i: 0 }, end_mask: { i: endMask }, ellipsis_mask: { i: 0 } };
  const more = { new_axis_mask: { i: 0 }, shrink_axis_mask: { i: 0 } };
  const bounds = [integers(starts), integers(ends), integers(steps)];
  return computed(
    operation('StridedSlice', [node, ...bounds], { ...INDEX, ...masks, ...more }),
    shape,
    order,
  );
}

const INDEX: TfAttributes = { Index: { type: 'DT_INT32' } };

function isWhole(size: Dimension, whole: Dimension | undefined): boolean {
  return size.size === whole?.size && size.free.join() === whole.free.join();
}
