import { correctedBias } from './correct-bias.ts';
import type { ExpectedValues } from './expected-inputs.ts';
import type { NodeProto } from './generated/onnx_pb.ts';
import type { IntegerParts, QuantisedInput } from './integer-parts.ts';
import { intAttribute, intsAttribute, makeNode, stringAttribute } from './nodes.ts';
import { floatConstantOf, type Scope } from './scope.ts';
import { readFloats, shapeOf } from './tensor-data.ts';

/** Below these a convolution takes longer than in fp32 (48 → 96 channels, 1 × 1: 0.27 for 0.23 ms; see `makeInt8Dynamic`). */
const MIN_CHANNELS = 32;
const MIN_WEIGHTS = 16_000;
/** "to the end", beyond any axis. */
const END = 2 ** 31 - 1;

/** How the kernel moves along one axis of the picture. */
interface Window {
  readonly taps: number;
  readonly stride: number;
  readonly dilation: number;
  readonly padBefore: number;
  readonly padAfter: number;
}

/**
 * A convolution as a matrix product of integers: [places, taps × inputs] · [taps × inputs, outputs], channels last. Undefined
 * when it has groups, is small, or its weights are not known.
 */
export function integerConvolution(
  node: NodeProto,
  scope: Scope,
  parts: IntegerParts,
  expected: ExpectedValues,
): readonly NodeProto[] | undefined {
  const [x = '', w = '', b = ''] = node.input;
  const tensor = floatConstantOf(scope, w);
  if (tensor === undefined || intAttribute(node, 'group', 1) !== 1) return undefined;
  const [outputs = 0, channels = 0, ...kernel] = shapeOf(tensor);
  const inputs = channels * kernel.reduce((product, size) => product * size, 1);
  if (kernel.length < 1 || kernel.length > 2) return undefined;
  if (Math.min(channels, outputs) < MIN_CHANNELS || inputs * outputs < MIN_WEIGHTS) return undefined;
  const windows = windowsOf(node, kernel);
  if (windows === undefined) return undefined;

  const values = readFloats(tensor) ?? new Float32Array();
  const places = channelsLast(values.length, outputs, channels);
  const arranged = values.map((_, place) => values[places[place] ?? 0] ?? 0);
  const weights = parts.quantiseWeights(w, arranged, inputs, outputs);
  if (weights === undefined) return undefined;
  const input = parts.quantiseInput(x);
  const { rows, nodes } = shiftedCopies(x, input, windows, parts);
  const [output = ''] = node.output;
  const last = parts.freshName(`${output}_last`);
  const rank = kernel.length + 2;
  const restored = new Float32Array(values.length);
  for (const [place, index] of places.entries()) restored[index] = weights.restored[place] ?? 0;
  const corrected = correctedBias(node, scope, expected, shapeOf(tensor), values, restored);
  const given = b === '' ? undefined : b;
  const bias = corrected === undefined ? given : parts.floats(`${output}_bias`, corrected);
  return [
    ...input.nodes,
    ...nodes,
    ...parts.product({ rows, input, weights, bias, output: last }),
    makeNode('Transpose', [last], [output], { perm: [0, rank - 1, ...axesUpTo(rank - 2)] }),
  ];
}

/** 1, 2, … `last`. */
function axesUpTo(last: number): number[] {
  return Array.from({ length: last }, (_, index) => index + 1);
}

/** The kernel's way along each axis; undefined when the padding depends on the size of the picture. */
function windowsOf(node: NodeProto, kernel: readonly number[]): readonly Window[] | undefined {
  const strides = intsAttribute(node, 'strides') ?? [];
  const dilations = intsAttribute(node, 'dilations') ?? [];
  const pads = intsAttribute(node, 'pads') ?? [];
  const autoPad = stringAttribute(node, 'auto_pad', 'NOTSET');
  const isSame = autoPad === 'SAME_UPPER' || autoPad === 'SAME_LOWER';
  if (isSame && strides.some((stride) => stride !== 1)) return undefined;
  return kernel.map((taps, axis): Window => {
    const stride = strides[axis] ?? 1;
    const dilation = dilations[axis] ?? 1;
    const window = { taps, stride, dilation };
    if (autoPad === 'NOTSET') {
      return { ...window, padBefore: pads[axis] ?? 0, padAfter: pads[axis + kernel.length] ?? 0 };
    }
    const total = isSame ? (taps - 1) * dilation : 0;
    const less = Math.floor(total / 2);
    return autoPad === 'SAME_UPPER'
      ? { ...window, padBefore: less, padAfter: total - less }
      : { ...window, padBefore: total - less, padAfter: less };
  });
}

/** For each element of weights [...kernel, channels, outputs] its place in [outputs, channels, ...kernel]. */
function channelsLast(count: number, outputs: number, channels: number): Uint32Array {
  const taps = count / (outputs * channels);
  return new Uint32Array(count).map((_, place) => {
    const output = place % outputs;
    const channel = Math.floor(place / outputs) % channels;
    const tap = Math.floor(place / (outputs * channels));
    return (output * channels + channel) * taps + tap;
  });
}

/**
 * The input with channels last, and behind each other in them what the kernel's taps see: first along the last axis, then
 * along the one before it, so that the taps are in the order of the weights.
 */
function shiftedCopies(
  name: string,
  { integers, zeroPoint }: QuantisedInput,
  windows: readonly Window[],
  parts: IntegerParts,
): { readonly rows: string; readonly nodes: readonly NodeProto[] } {
  const channelAxis = windows.length + 1;
  let rows = parts.freshName(`${name}_last`);
  const nodes = [
    makeNode('Transpose', [integers], [rows], { perm: [0, ...axesUpTo(channelAxis).slice(1), 1] }),
  ];

  if (windows.some(({ padBefore, padAfter }) => padBefore + padAfter > 0)) {
    const before = windows.map(({ padBefore }) => padBefore);
    const after = windows.map(({ padAfter }) => padAfter);
    const padded = parts.freshName(`${name}_padded`);
    // The zero point stands for 0 exactly.
    const pads = parts.integers([0, ...before, 0, 0, ...after, 0]);
    nodes.push(makeNode('Pad', [rows, pads, zeroPoint], [padded]));
    rows = padded;
  }

  for (const [index, { taps, stride, dilation }] of [...windows.entries()].reverse()) {
    if (taps === 1 && stride === 1) continue;
    const source = rows;
    const cuts = Array.from({ length: taps }, (_, tap) => {
      const cut = parts.freshName(`${name}_tap`);
      // Counted from the end, so that the size of the picture need not be known.
      const behind = (taps - 1 - tap) * dilation;
      const [starts, ends] = [
        parts.integers([tap * dilation]),
        parts.integers([behind === 0 ? END : -behind]),
      ];
      const [axes, steps] = [parts.integers([index + 1]), parts.integers([stride])];
      nodes.push(makeNode('Slice', [source, starts, ends, axes, steps], [cut]));
      return cut;
    });
    const [only = ''] = cuts;
    rows = taps === 1 ? only : parts.freshName(`${name}_taps`);
    if (taps > 1) nodes.push(makeNode('Concat', cuts, [rows], { axis: channelAxis }));
  }
  return { rows, nodes };
}
