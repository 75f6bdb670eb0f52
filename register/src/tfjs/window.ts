import type { NodeProto } from '../onnx/generated/onnx_pb.ts';
import { intAttribute, intsAttribute, stringAttribute } from '../onnx/nodes.ts';
import { type Dimension, isKnown, known, unknown } from './dimension.ts';
import { nameOf } from './onnx-graph.ts';
import { unsupported } from './unsupported.ts';

/** What a convolution or a pool does along one axis of the picture. */
export interface Span {
  readonly size: Dimension;
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  /** `same` = what TensorFlow's SAME adds, for a size that is not known. */
  readonly padding: Padding | 'same';
  readonly output: Dimension;
}

/** Elements added to a picture's axis. */
export interface Padding {
  readonly before: number;
  readonly after: number;
  /** Added after those, for a last window that `ceil_mode` lets reach beyond; they never count in a mean. */
  readonly beyond: number;
}

/** Elements that a kernel spans. */
export function extentOf({ kernel, dilation }: Pick<Span, 'kernel' | 'dilation'>): number {
  return (kernel - 1) * dilation + 1;
}

/**
 * What `strides`, `dilations`, `pads`, `auto_pad` and `ceil_mode` mean for a kernel on a picture (ONNX: docs/Operators.md, Conv,
 * MaxPool and AveragePool; TensorFlow: tf.nn, "Notes on padding").
 *
 * `auto_pad` SAME_UPPER is TensorFlow's SAME: max((⌈size / stride⌉ − 1) stride + extent − size, 0) elements, the odd one after.
 * With `ceil_mode` the last window may reach beyond the padding, though not begin there: the elements that it lacks are added.
 */
export function spansOf(
  node: NodeProto,
  sizes: readonly Dimension[],
  kernel: readonly number[],
): [Span, Span] {
  const rank = kernel.length;
  if (sizes.length !== 2 || rank !== 2) throw unsupported('two axes of a picture', `${sizes.length}`);
  const ones = kernel.map(() => 1);
  const strides = intsAttribute(node, 'strides') ?? ones;
  const dilations = intsAttribute(node, 'dilations') ?? ones;
  const span = (axis: 0 | 1): Span => {
    const shape = {
      size: sizes[axis] as Dimension,
      kernel: kernel[axis] ?? 1,
      stride: strides[axis] ?? 1,
      dilation: dilations[axis] ?? 1,
    };
    const padding = paddingOf(node, axis, shape);
    return { ...shape, padding, output: outputOf(node, axis, { ...shape, padding }) };
  };
  return [span(0), span(1)];
}

type Unpadded = Omit<Span, 'padding' | 'output'>;

function paddingOf(node: NodeProto, axis: number, shape: Unpadded): Span['padding'] {
  const automatic = stringAttribute(node, 'auto_pad', 'NOTSET');
  if (automatic === 'VALID') return { before: 0, after: 0, beyond: 0 };
  if (automatic === 'NOTSET') {
    const pads = intsAttribute(node, 'pads') ?? [0, 0, 0, 0];
    const { before, after } = { before: pads[axis] ?? 0, after: pads[axis + 2] ?? 0 };
    if (before < 0 || after < 0) throw unsupported('pads from 0', `${pads}`);
    return { before, after, beyond: beyondOf(node, shape, before, after) };
  }
  const total = sameTotal(shape);
  const less = total === undefined ? 0 : Math.floor(total / 2);
  if (automatic === 'SAME_UPPER') {
    return total === undefined ? 'same' : { before: less, after: total - less, beyond: 0 };
  }
  if (total === undefined) throw unsupported('a known size for auto_pad SAME_LOWER', 'a free axis');
  return { before: total - less, after: less, beyond: 0 };
}

/** Elements that SAME adds, or undefined where they depend on a size that is not known. */
function sameTotal(shape: Unpadded): number | undefined {
  const extent = extentOf(shape);
  // ⌈size / 1⌉ − 1 + extent − size
  if (shape.stride === 1) return extent - 1;
  if (!isKnown(shape.size)) return undefined;
  const { size } = shape.size;
  return Math.max((Math.ceil(size / shape.stride) - 1) * shape.stride + extent - size, 0);
}

function beyondOf(node: NodeProto, shape: Unpadded, before: number, after: number): number {
  if (intAttribute(node, 'ceil_mode', 0) === 0 || shape.stride === 1) return 0;
  if (!isKnown(shape.size)) throw unsupported('a known size for ceil_mode', 'a free axis');
  const { size } = shape.size;
  const steps = Math.ceil((size + before + after - extentOf(shape)) / shape.stride);
  const last = steps * shape.stride < size + before ? steps : steps - 1;
  return Math.max(0, last * shape.stride + extentOf(shape) - (size + before + after));
}

function outputOf(node: NodeProto, axis: number, { padding, ...shape }: Omit<Span, 'output'>): Dimension {
  const { size, stride } = shape;
  if (padding !== 'same' && isKnown(size)) {
    const steps = Math.floor((size.size + totalOf(padding) - extentOf(shape)) / stride);
    if (steps < 0) throw unsupported(`a kernel of at most the padded picture's size`, `${extentOf(shape)}`);
    return known(steps + 1);
  }
  const keepsSize = padding !== 'same' && totalOf(padding) === extentOf(shape) - 1;
  return stride === 1 && keepsSize ? size : unknown(`${nameOf(node)}/${axis === 0 ? 'height' : 'width'}`);
}

function totalOf({ before, after, beyond }: Padding): number {
  return before + after + beyond;
}

/** TensorFlow's word for a padding: VALID = none, SAME = its own, EXPLICIT = any other. */
export function paddingKind(spans: readonly [Span, Span]): 'VALID' | 'SAME' | 'EXPLICIT' {
  if (spans.every(({ padding }) => padding !== 'same' && totalOf(padding) === 0)) return 'VALID';
  return spans.every(isSame) ? 'SAME' : 'EXPLICIT';
}

function isSame({ padding, ...shape }: Span): boolean {
  if (padding === 'same') return true;
  const total = sameTotal(shape);
  return total === totalOf(padding) && padding.before === Math.floor(total / 2);
}

/** Elements before and after each axis of the picture. */
export function explicitPadding(spans: readonly [Span, Span]): [[number, number], [number, number]] {
  const [height, width] = spans.map(({ padding }): [number, number] => {
    if (padding === 'same') throw unsupported('known sizes for this padding', 'a free axis');
    return [padding.before, padding.after + padding.beyond];
  });
  return [height ?? [0, 0], width ?? [0, 0]];
}

/** What tfjs takes for strides, dilations and kernel sizes: batch, height, width, channels. */
export function perAxis(
  [height, width]: readonly [Span, Span],
  of: (span: Span) => number,
): readonly number[] {
  return [1, of(height), of(width), 1];
}
