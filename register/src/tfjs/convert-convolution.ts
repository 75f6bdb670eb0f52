import { attributeOf, intAttribute, intsAttribute, stringAttribute } from '../onnx/nodes.ts';
import { permuted } from './broadcast.ts';
import { type Convert, computedInput, constantInput, optionalConstant } from './context.ts';
import { type Dimension, isKnown, known, printShape } from './dimension.ts';
import { inOrder, NHWC } from './layout.ts';
import {
  FLOAT,
  integer,
  integers,
  type LinearForm,
  type LinearNode,
  operation,
  type TfAttributes,
  type TfNode,
} from './tf-graph.ts';
import { boundedElements, unsupported } from './unsupported.ts';
import { type Computed, type Constant, computed } from './value.ts';
import { explicitPadding, paddingKind, perAxis, type Span, spansOf } from './window.ts';

/**
 * Conv of two dimensions: ONNX keeps kernels [output, input / group, height, width] (docs/Operators.md, Conv), TensorFlow
 * [height, width, input, output], for depthwise ones [height, width, channel, multiplier] (tf.nn.conv2d, tf.nn.depthwise_conv2d).
 */
export const convertConv: Convert = (node, inputs, context) => {
  const { value, channels } = picture(computedInput(inputs, 0));
  const kernel = kernelInput(constantInput(inputs, 1));
  const [outputs = 0, inputsPerGroup = 0, ...window] = kernel.shape;
  const form = formOf(intAttribute(node, 'group', 1), channels, inputsPerGroup);
  const spans = spansOf(node, value.shape.slice(2), window);
  const isDepthwise = form === 'depthwise-convolution';
  // The channel that a depthwise kernel reads is the slower part of its number: output = channel × multiplier + m.
  const arranged = isDepthwise
    ? permuted({ ...kernel, shape: [channels, outputs / channels, ...window] }, [2, 3, 0, 1])
    : permuted(kernel, [2, 3, 1, 0]);
  const spread = needsSpreading(spans);
  const dilations = perAxis(spans, ({ dilation }) => (spread ? 1 : dilation));
  const linear = linearNode(form, inOrder(value, NHWC, context.layouts), {
    kernel: spread ? spreadKernel(arranged, spans) : arranged,
    bias: optionalConstant(inputs, 2),
    attributes: {
      ...FLOAT,
      ...paddingAttributes(spans),
      data_format: { s: 'NHWC' },
      strides: { list: perAxis(spans, ({ stride }) => stride) },
      dilations: { list: dilations },
    },
  });
  return [computed(linear, [batchOf(value), known(outputs), ...spans.map(({ output }) => output)], NHWC)];
};

/**
 * ConvTranspose of two dimensions and one group: kernels are [input, output, height, width] in ONNX (docs/Operators.md) and
 * [height, width, output, input] in TensorFlow (tf.nn.conv2d_transpose).
 */
export const convertConvTranspose: Convert = (node, inputs, context) => {
  const { value, channels } = picture(computedInput(inputs, 0));
  const kernel = kernelInput(constantInput(inputs, 1));
  const [, outputs = 0, ...window] = kernel.shape;
  if (intAttribute(node, 'group', 1) !== 1) throw unsupported('group 1', `${intAttribute(node, 'group', 1)}`);
  if (kernel.shape[0] !== channels) throw unsupported(`kernels of ${channels} inputs`, `${kernel.shape[0]}`);
  if ((intsAttribute(node, 'dilations') ?? []).some((dilation) => dilation !== 1)) {
    throw unsupported('dilation 1', 'more');
  }
  const strides = intsAttribute(node, 'strides') ?? [1, 1];
  const pads = intsAttribute(node, 'pads') ?? [0, 0, 0, 0];
  const extra = intsAttribute(node, 'output_padding') ?? [0, 0];
  const automatic = stringAttribute(node, 'auto_pad', 'NOTSET');
  if (automatic !== 'NOTSET' || attributeOf(node, 'output_shape') !== undefined) {
    throw unsupported('the padding as pads', 'auto_pad or output_shape');
  }
  const sizes = value.shape.slice(2);
  if (!sizes.every(isKnown)) throw unsupported('known sizes', printShape(sizes));
  // stride (size − 1) + output_padding + extent − pads
  const output = sizes.map(
    ({ size }, axis) =>
      (strides[axis] ?? 1) * (size - 1) +
      (extra[axis] ?? 0) +
      (window[axis] ?? 1) -
      (pads[axis] ?? 0) -
      (pads[axis + 2] ?? 0),
  );
  if (output.some((size) => size < 1))
    throw unsupported('pads that leave something', `a picture of ${output}`);
  // It is the gradient of a convolution of the output. That one's padding is this one's, less what `output_padding` added; which
  // may leave some elements at the end that it does not reach.
  const [top = 0, left = 0, bottom = 0, right = 0] = pads;
  const after = [bottom - (extra[0] ?? 0), right - (extra[1] ?? 0)].map((pad) => Math.max(0, pad));
  const source = inOrder(value, NHWC, context.layouts);
  const linear = linearNode('transposed-convolution', source, {
    kernel: permuted(kernel, [2, 3, 1, 0]),
    bias: optionalConstant(inputs, 2),
    outputShape: outputShape(value, source, [...output, outputs]),
    attributes: {
      ...FLOAT,
      data_format: { s: 'NHWC' },
      strides: { list: [1, ...strides, 1] },
      padding: { s: 'EXPLICIT' },
      explicit_paddings: { list: [0, 0, top, after[0] ?? 0, left, after[1] ?? 0, 0, 0] },
    },
  });
  return [computed(linear, [batchOf(value), known(outputs), ...output.map(known)], NHWC)];
};

function paddingAttributes(spans: readonly [Span, Span]): TfAttributes {
  const kind = paddingKind(spans);
  if (kind !== 'EXPLICIT') return { padding: { s: kind } };
  return {
    padding: { s: kind },
    explicit_paddings: { list: [0, 0, ...explicitPadding(spans).flat(), 0, 0] },
  };
}

interface LinearParts {
  /** Arranged as the form wants it; taken over. */
  readonly kernel: Constant;
  readonly bias?: Constant | undefined;
  readonly attributes: TfAttributes;
  readonly outputShape?: TfNode;
}

/** A linear node that owns its weights. */
export function linearNode(form: LinearForm, input: TfNode, parts: LinearParts): LinearNode {
  const { kernel, bias, attributes, outputShape } = parts;
  return {
    kind: 'linear',
    name: undefined,
    form,
    inputs: [input],
    attributes,
    kernelShape: kernel.shape,
    kernel: kernel.values,
    bias: bias?.values.slice(),
    activation: undefined,
    outputShape,
  };
}

/** Batch, channels, height and width, the number of channels known. */
function picture(value: Computed): { value: Computed; channels: number } {
  const channels = value.shape[1];
  if (value.shape.length !== 4 || channels === undefined || !isKnown(channels)) {
    throw unsupported(
      'a value [batch, channels, height, width] with known channels',
      printShape(value.shape),
    );
  }
  return { value, channels: channels.size };
}

function batchOf(value: Computed): Dimension {
  return value.shape[0] as Dimension;
}

function kernelInput(kernel: Constant): Constant {
  if (kernel.shape.length !== 4) throw unsupported('kernels of two dimensions', `weights [${kernel.shape}]`);
  return kernel;
}

function formOf(group: number, channels: number, inputsPerGroup: number): LinearForm {
  if (inputsPerGroup * group !== channels) {
    throw unsupported(`kernels of ${channels} / ${group} inputs`, `${inputsPerGroup}`);
  }
  if (group === 1) return 'convolution';
  if (group === channels) return 'depthwise-convolution';
  throw unsupported('group 1, or as many groups as channels', `${group} groups of ${channels} channels`);
}

/** TensorFlow takes strides or dilations, not both; then the kernel is written out with zeros between its elements. */
function needsSpreading(spans: readonly Span[]): boolean {
  return spans.some(({ stride }) => stride !== 1) && spans.some(({ dilation }) => dilation !== 1);
}

function spreadKernel(kernel: Constant, [vertical, horizontal]: readonly [Span, Span]): Constant {
  const [height = 1, width = 1, ...channels] = kernel.shape;
  const inner = channels.reduce((product, size) => product * size, 1);
  const spreadHeight = (height - 1) * vertical.dilation + 1;
  const spreadWidth = (width - 1) * horizontal.dilation + 1;
  const values = new Float32Array(boundedElements(spreadHeight * spreadWidth * inner));
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const from = (y * width + x) * inner;
      const to = (y * vertical.dilation * spreadWidth + x * horizontal.dilation) * inner;
      values.set(kernel.values.subarray(from, from + inner), to);
    }
  }
  return { kind: 'constant', shape: [spreadHeight, spreadWidth, ...channels], values };
}

/** [batch, height, width, channels]; a batch of any size is read off the input when the model runs. */
function outputShape(value: Computed, source: TfNode, rest: readonly number[]): TfNode {
  const batch = batchOf(value);
  if (isKnown(batch)) return integers([batch.size, ...rest]);
  const types: TfAttributes = { T: { type: 'DT_INT32' } };
  const shape = operation('Shape', [source], { out_type: { type: 'DT_INT32' } });
  const first = operation('Slice', [shape, integers([0]), integers([1])], types);
  return operation('ConcatV2', [first, integers(rest), integer(0)], { ...types, N: { i: 2 } });
}
