import { floatAttribute, intAttribute } from '../onnx/nodes.ts';
import { broadcastShape, permuted } from './broadcast.ts';
import { type Context, type Convert, computedInput, floatInput } from './context.ts';
import { add, multiply } from './convert-arithmetic.ts';
import { linearNode } from './convert-convolution.ts';
import {
  type Dimension,
  isKnown,
  isSame,
  isSize,
  known,
  printShape,
  product,
  sizeOrFree,
} from './dimension.ts';
import { inOrder, reshaped, stored } from './layout.ts';
import { FLOAT, integers, operation, scaleChannels, type TfNode } from './tf-graph.ts';
import { unsupported } from './unsupported.ts';
import { asComputed, type Computed, type Constant, computed, naturalOrder } from './value.ts';

/** Gemm: α A' B' + β C (ONNX: docs/Operators.md). */
export const convertGemm: Convert = (node, inputs, context) => {
  const a = computedInput(inputs, 0);
  const b = floatInput(inputs, 1);
  const alpha = floatAttribute(node, 'alpha', 1);
  if (a.shape.length !== 2 || b.shape.length !== 2) throw unsupported('matrices', printShape(a.shape));
  const left = intAttribute(node, 'transA', 0) === 0 ? a : transposed(a);
  const isSwapped = intAttribute(node, 'transB', 0) !== 0;
  const result =
    b.kind === 'constant'
      ? timesConstant(left, isSwapped ? permuted(b, [1, 0]) : b, alpha, context)
      : multiply(timesComputed(left, isSwapped ? transposed(b) : b, context), alpha, context);
  if (inputs[2] === undefined) return [result];
  const summand = floatInput(inputs, 2);
  const beta = floatAttribute(node, 'beta', 1);
  if (summand.kind === 'constant') {
    const values = beta === 1 ? summand.values : summand.values.map((value) => value * beta);
    return [add(result, { ...summand, values }, context)];
  }
  return [add(result, multiply(summand, beta, context), context)];
};

/** MatMul as NumPy's: matrices in the last two axes, the others broadcast. */
export const convertMatMul: Convert = (_, inputs, context) => {
  const a = computedInput(inputs, 0);
  const b = floatInput(inputs, 1);
  if (b.kind === 'constant' && b.shape.length === 2) return [timesConstant(a, b, 1, context)];
  return [timesComputed(a, asComputed(b), context)];
};

function transposed(matrix: Computed): Computed {
  const [rows, columns] = matrix.shape;
  if (matrix.storage.kind === 'reshape') {
    throw unsupported('a matrix that is not reshaped before', 'one that is');
  }
  const order = matrix.storage.order.map((axis) => 1 - axis);
  return {
    ...matrix,
    shape: [columns as Dimension, rows as Dimension],
    storage: { ...matrix.storage, order },
  };
}

function timesConstant(a: Computed, b: Constant, factor: number, context: Context): Computed {
  const [inner = 0, columns = 0] = b.shape;
  const last = a.shape.at(-1);
  if (a.shape.length < 2 || last === undefined || !isSize(last, inner)) {
    throw unsupported(`matrices of ${inner} columns`, printShape(a.shape));
  }
  // Further axes are rows as well, and become axes of their own again where something reads them: every backend is right about
  // one product of matrices, and fast. The wasm one of tfjs 4.22 gets a fused bias wrong for batches of them.
  const rows = a.shape.slice(0, -1);
  const matrix = a.shape.length === 2 ? a : reshaped(a, [product(rows), last], context.layouts);
  const { source, kernel } = asStored(matrix, b, context);
  const linear = linearNode('matrix-product', source, {
    kernel,
    attributes: { ...FLOAT, transpose_a: { b: false }, transpose_b: { b: false } },
  });
  if (factor !== 1) scaleChannels(linear, new Float32Array(columns).fill(factor));
  const result = computed(linear, [product(rows), known(columns)]);
  if (a.shape.length === 2) return result;
  return { ...result, shape: [...rows, known(columns)], storage: { kind: 'reshape', source: result } };
}

/**
 * The operands of a product with weights. A picture that is flattened before it stays in the order in which it is in memory,
 * height, width, channels; the rows of the weights, which are there in the order channels, height, width, follow it.
 */
function asStored(a: Computed, b: Constant, context: Context): { source: TfNode; kernel: Constant } {
  const flattened = a.storage.kind === 'reshape' ? a.storage.source : undefined;
  const [batch, ...axes] = flattened?.shape ?? [];
  const natural = naturalOrder(a.shape.length);
  const copy = () => permuted(b, [0, 1]);
  if (flattened === undefined || batch === undefined || a.shape.length !== 2 || !axes.every(isKnown)) {
    return { source: inOrder(a, natural, context.layouts), kernel: copy() };
  }
  const { node, order } = stored(flattened, context.layouts);
  if (order[0] !== 0 || !isSame(batch, a.shape[0] as Dimension)) {
    return { source: inOrder(a, natural, context.layouts), kernel: copy() };
  }
  const sizes = axes.map(({ size }) => size);
  const columns = b.shape[1] ?? 0;
  const rows = permuted({ ...b, shape: [...sizes, columns] }, [
    ...order.slice(1).map((axis) => axis - 1),
    sizes.length,
  ]);
  const shape = [sizeOrFree(batch), product(axes).size];
  return {
    source: operation('Reshape', [node, integers(shape)], { Tshape: { type: 'DT_INT32' } }),
    kernel: { ...rows, shape: [...b.shape] },
  };
}

function timesComputed(a: Computed, b: Computed, context: Context): Computed {
  const rank = Math.max(a.shape.length, b.shape.length);
  const [rows, inner] = a.shape.slice(-2);
  const [innerOfB, columns] = b.shape.slice(-2);
  if (rows === undefined || inner === undefined || innerOfB === undefined || columns === undefined) {
    throw unsupported('matrices', `${printShape(a.shape)} and ${printShape(b.shape)}`);
  }
  const batches = [a, b].map(({ shape }) => shape.slice(0, -2));
  const [first = [], second = []] = batches;
  // tfjs takes the batches of one operand for each of the other's only where there is but one.
  const isEven =
    first.length === second.length && first.every((size, axis) => isSame(size, second[axis] as Dimension));
  const single = batches.findIndex((batch) => batch.every((size) => isSize(size, 1)));
  if (!isSame(inner, innerOfB) || (!isEven && single < 0)) {
    throw unsupported('matrices that fit', `${printShape(a.shape)} and ${printShape(b.shape)}`);
  }
  const [left, right] = [a, b].map((value) =>
    inOrder(value, naturalOrder(value.shape.length), context.layouts),
  );
  const batch = broadcastShape(first, second);
  const attributes =
    rank === 2
      ? { transpose_a: { b: false }, transpose_b: { b: false } }
      : { adj_x: { b: false }, adj_y: { b: false } };
  const op = rank === 2 ? 'MatMul' : 'BatchMatMulV2';
  return computed(operation(op, [left as TfNode, right as TfNode], attributes), [...batch, rows, columns]);
}
