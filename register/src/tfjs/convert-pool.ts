import type { NodeProto } from '../onnx/generated/onnx_pb.ts';
import { intAttribute, intsAttribute } from '../onnx/nodes.ts';
import { type Context, type Convert, computedInput, expectOutputs } from './context.ts';
import { LARGEST_FLOAT } from './convert-activation.ts';
import { isKnown, printShape } from './dimension.ts';
import { inOrder, NHWC } from './layout.ts';
import { type ConstantNode, integers, operation, scalar, type TfNode, weights } from './tf-graph.ts';
import { boundedElements, unsupported } from './unsupported.ts';
import { type Computed, computed } from './value.ts';
import { explicitPadding, paddingKind, perAxis, type Span, spansOf } from './window.ts';

/** MaxPool (ONNX: docs/Operators.md). Padding that TensorFlow's SAME does not add is added as the smallest number. */
export const convertMaxPool: Convert = (node, inputs, context) => {
  expectOutputs(node, 1, context);
  const pool = readPool(node, computedInput(inputs, 0), context);
  return [computed(poolNode('MaxPool', pool, -LARGEST_FLOAT), shapeOf(pool), NHWC)];
};

/**
 * AveragePool. TensorFlow's mean over SAME leaves padding out, as ONNX's does with `count_include_pad` 0. Other padding is
 * added as zeros, and where it does not count, each mean is multiplied by elements in the window / elements that count.
 */
export const convertAveragePool: Convert = (node, inputs, context) => {
  const pool = readPool(node, computedInput(inputs, 0), context);
  const countsPadding = intAttribute(node, 'count_include_pad', 0) !== 0;
  const kind = paddingKind(pool.spans);
  if (kind === 'VALID' || (kind === 'SAME' && !countsPadding)) {
    return [computed(poolNode('AvgPool', pool, 0), shapeOf(pool), NHWC)];
  }
  const mean = unpaddedPool('AvgPool', padded(pool, 0), pool.spans);
  const factors = countFactors(pool.spans, countsPadding);
  const corrected = factors === undefined ? mean : operation('Mul', [mean, factors]);
  return [computed(corrected, shapeOf(pool), NHWC)];
};

interface Pool {
  readonly value: Computed;
  /** The picture as batch, height, width, channels. */
  readonly source: TfNode;
  readonly spans: readonly [Span, Span];
}

function readPool(node: NodeProto, value: Computed, { layouts }: Context): Pool {
  if (value.shape.length !== 4) {
    throw unsupported('a value [batch, channels, height, width]', printShape(value.shape));
  }
  const spans = spansOf(node, value.shape.slice(2), intsAttribute(node, 'kernel_shape') ?? []);
  if (spans.some(({ dilation }) => dilation !== 1)) throw unsupported('dilation 1', 'more');
  return { value, source: inOrder(value, NHWC, layouts), spans };
}

function shapeOf({ value, spans }: Pool): Computed['shape'] {
  return [...value.shape.slice(0, 2), ...spans.map(({ output }) => output)];
}

function poolNode(op: 'MaxPool' | 'AvgPool', pool: Pool, filler: number): TfNode {
  const kind = paddingKind(pool.spans);
  if (kind === 'EXPLICIT') return unpaddedPool(op, padded(pool, filler), pool.spans);
  return operation(op, [pool.source], attributesOf(pool.spans, kind));
}

function unpaddedPool(op: 'MaxPool' | 'AvgPool', source: TfNode, spans: readonly [Span, Span]): TfNode {
  return operation(op, [source], attributesOf(spans, 'VALID'));
}

function attributesOf(spans: readonly [Span, Span], padding: 'VALID' | 'SAME') {
  return {
    data_format: { s: 'NHWC' },
    padding: { s: padding },
    ksize: { list: perAxis(spans, ({ kernel }) => kernel) },
    strides: { list: perAxis(spans, ({ stride }) => stride) },
  };
}

function padded({ source, spans }: Pool, filler: number): TfNode {
  const pads = [0, 0, ...explicitPadding(spans).flat(), 0, 0];
  return operation('PadV2', [source, integers(pads, [4, 2]), scalar(filler)], {
    Tpaddings: { type: 'DT_INT32' },
  });
}

/** What the means of whole windows are multiplied by, or undefined where every element counts. */
function countFactors(spans: readonly [Span, Span], countsPadding: boolean): ConstantNode | undefined {
  const isWhole = spans.every(({ padding }) => padding !== 'same' && padding.beyond === 0);
  if (countsPadding && isWhole) return undefined;
  const [vertical, horizontal] = spans.map((span) => axisFactors(span, countsPadding));
  if (vertical === undefined || horizontal === undefined) return undefined;
  boundedElements(vertical.length * horizontal.length);
  const values = Float32Array.from(vertical.flatMap((y) => horizontal.map((x) => y * x)));
  return weights([vertical.length, horizontal.length, 1], values);
}

/** Window size / elements of it that count, along one axis. */
function axisFactors({ size, kernel, stride, padding, output }: Span, countsPadding: boolean): number[] {
  if (!isKnown(size) || !isKnown(output) || padding === 'same') {
    throw unsupported('a known size for a mean with this padding', 'a free axis');
  }
  const first = countsPadding ? -padding.before : 0;
  const end = countsPadding ? size.size + padding.after : size.size;
  return Array.from({ length: boundedElements(output.size) }, (_, index) => {
    const start = index * stride - padding.before;
    const count = Math.min(start + kernel, end) - Math.max(start, first);
    if (count < 1) throw unsupported('windows that reach the picture', 'one in its padding alone');
    return kernel / count;
  });
}
