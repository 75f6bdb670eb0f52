import type { NodeProto, TensorProto } from './generated/onnx_pb.ts';
import { intAttribute, intsAttribute, isStandard } from './nodes.ts';
import { constantOf, type Scope } from './scope.ts';
import { readIntegers, shapeOf } from './tensor-data.ts';

/** What is left of a constant on its way to the operator that multiplies by it. */
interface View {
  /** Sizes; undefined where they are not worked out, since nothing but `Reshape` needs them. */
  readonly shape: readonly (number | undefined)[];
  /** For each axis of the view the axis of the constant that it runs along, undefined when it has none or mixes several. */
  readonly axes: readonly (number | undefined)[];
}

/**
 * The axes of a constant along which an int8 copy should have scales of its own, when all that read it multiply by it
 * (convolutions, matrix products, recurrent layers, embeddings), be it through nodes that only move elements.
 *
 * @returns undefined when something else reads it, or nothing does.
 */
export function weightAxes(scope: Scope, name: string, tensor: TensorProto): readonly number[] | undefined {
  const shape = shapeOf(tensor);
  const found = axesOfUses(scope, name, { shape, axes: shape.map((_, axis) => axis) });
  return found?.[0];
}

/** What each reader would keep, in the constant's axes; undefined when one is no weight operator. */
function axesOfUses(scope: Scope, name: string, view: View): (readonly number[])[] | undefined {
  const uses = scope.uses.get(name) ?? [];
  const found: (readonly number[])[] = [];
  for (const use of uses) {
    if (use.kind === 'graph-output' || !isStandard(use.node)) return undefined;
    const { node, index } = use;
    const seen = viewThrough(node, index, use.scope, view);
    if (seen !== undefined) {
      const further = axesOfUses(use.scope, node.output[0] ?? '', seen);
      if (further === undefined) return undefined;
      found.push(...further);
      continue;
    }
    const kept = keptAxes(node, index, view.axes.length);
    if (kept === undefined) return undefined;
    const axes = kept.map((axis) => view.axes[axis]).filter((axis) => axis !== undefined);
    found.push(axes);
  }
  return found.length === 0 ? undefined : found;
}

/** What a node that only moves elements makes of the view; undefined for any other node. */
function viewThrough(node: NodeProto, index: number, scope: Scope, { shape, axes }: View): View | undefined {
  if (node.opType === 'Concat') return { shape: shape.map(() => undefined), axes };
  if (index !== 0) return undefined;
  switch (node.opType) {
    case 'Identity':
      return { shape, axes };
    case 'Slice':
      return { shape: shape.map(() => undefined), axes };
    case 'Transpose': {
      const order = intsAttribute(node, 'perm') ?? shape.map((_, axis) => shape.length - 1 - axis);
      return { shape: order.map((axis) => shape[axis]), axes: order.map((axis) => axes[axis]) };
    }
    case 'Unsqueeze':
    case 'Squeeze': {
      const wanted = intsAttribute(node, 'axes') ?? integersOf(scope, node.input[1]);
      if (wanted === undefined) return undefined;
      return node.opType === 'Squeeze'
        ? squeezed({ shape, axes }, wanted)
        : unsqueezed({ shape, axes }, wanted);
    }
    case 'Reshape': {
      const sizes = integersOf(scope, node.input[1]);
      if (sizes === undefined || intAttribute(node, 'allowzero', 0) !== 0) return undefined;
      return shape.every((size) => size !== undefined) ? reshaped(shape, axes, sizes) : undefined;
    }
    default:
      return undefined;
  }
}

function integersOf(scope: Scope, name: string | undefined): number[] | undefined {
  const tensor = constantOf(scope, name ?? '');
  return tensor === undefined ? undefined : readIntegers(tensor);
}

function squeezed({ shape, axes }: View, removed: readonly number[]): View {
  const isKept = (_: unknown, axis: number) =>
    !removed.includes(axis) && !removed.includes(axis - shape.length);
  return { shape: shape.filter(isKept), axes: axes.filter(isKept) };
}

function unsqueezed(view: View, added: readonly number[]): View {
  const rank = view.axes.length + added.length;
  const isAdded = (axis: number) => added.includes(axis) || added.includes(axis - rank);
  let next = 0;
  const places = Array.from({ length: rank }, (_, axis) => (isAdded(axis) ? undefined : next++));
  return {
    shape: places.map((place) => (place === undefined ? 1 : view.shape[place])),
    axes: places.map((place) => (place === undefined ? undefined : view.axes[place])),
  };
}

/** `Reshape`: 0 keeps the axis of that place, -1 is what is left. An axis lives on where as many elements lie behind it. */
function reshaped(shape: readonly number[], axes: View['axes'], sizes: readonly number[]): View | undefined {
  const count = product(shape);
  const sized = sizes.map((size, axis) => (size === 0 ? (shape[axis] ?? 0) : size));
  const known = product(sized.filter((size) => size >= 0));
  const result = sized.map((size) => (size < 0 ? count / known : size));
  if (product(result) !== count) return undefined;
  const behind = shape.map((_, axis) => product(shape.slice(axis + 1)));
  return {
    shape: result,
    axes: result.map((size, axis) => {
      const same = shape.findIndex(
        (old, place) => old === size && behind[place] === product(result.slice(axis + 1)),
      );
      return same < 0 ? undefined : axes[same];
    }),
  };
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((all, size) => all * size, 1);
}

/** The axes of input `index` that lead to separate outputs of the operator; undefined when that is no weight input. */
function keptAxes(node: NodeProto, index: number, rank: number): readonly number[] | undefined {
  const last = rank - 1;
  switch (node.opType) {
    case 'Conv':
      return index === 1 ? [0] : undefined;
    case 'ConvTranspose':
      // [inputs, outputs / group, ...]: with groups each row of axis 0 belongs to one group, axis 1 mixes them.
      return index === 1 ? [intAttribute(node, 'group', 1) === 1 ? 1 : 0] : undefined;
    case 'Gemm':
      if (index === 0) return [intAttribute(node, 'transA', 0) === 0 ? 0 : 1];
      return index === 1 ? [intAttribute(node, 'transB', 0) === 0 ? 1 : 0] : undefined;
    case 'MatMul':
      if (last < 1) return index < 2 ? [] : undefined;
      return index === 0 ? [last - 1] : [last];
    case 'LSTM':
    case 'GRU':
    case 'RNN':
      // [directions, gates × hidden, inputs]
      return index === 1 || index === 2 ? [0, 1] : undefined;
    case 'Gather': {
      const axis = intAttribute(node, 'axis', 0);
      return index === 0 && rank > 1 ? [axis < 0 ? axis + rank : axis] : undefined;
    }
    default:
      return undefined;
  }
}
