import { type NodeProto, type TensorProto, TensorProto_DataType } from './generated/onnx_pb.ts';
import { halfBitsOf, LARGEST_HALF } from './half.ts';
import { makeNode } from './nodes.ts';
import { elementsOfSlice, quantiseBlocks } from './quantise-blocks.ts';
import type { Scope } from './scope.ts';
import { float32Tensor, int64Tensor, makeTensor, readFloats, shapeOf } from './tensor-data.ts';
import { weightAxes } from './weights.ts';

const { FLOAT, FLOAT16, INT32, UINT8 } = TensorProto_DataType;

/** Constants with fewer elements that are no weights stay as they are. */
const MIN_PALETTE_ELEMENTS = 1_024;
/** Weights with fewer elements stay as they are: the nodes that turn them back would take the bytes that they save. */
export const MIN_ELEMENTS = 256;
/** With fewer elements to a channel, 8 bits and a scale save little against fp16, which is far more exact. */
const MIN_SLICE = 16;
/** The unit times a sum a little above 1 has to be finite. */
const LARGEST_UNIT = 2 ** 126;

/** How small weights are made. */
export interface Fineness {
  /** Elements that share a scale, at most; infinite = one scale for each output channel. */
  readonly blockSize: number;
  /** Weights with fewer elements become fp16: few bytes of the whole, and often the first layers, which matter most. */
  readonly minElements: number;
}

/** A constant in fewer bytes. */
export interface SmallerForm {
  readonly tensors: readonly TensorProto[];
  /** Give the constant's own name, so that its readers stay as they are. */
  readonly nodes: readonly NodeProto[];
  /** The weights as they will be used, where that differs noticeably. */
  readonly restored: Float32Array | undefined;
}

/** The smaller form of a constant, or undefined when it is to stay as it is. */
export function smallerForm(
  scope: Scope,
  name: string,
  tensor: TensorProto,
  { blockSize, minElements }: Fineness,
  freshName: (wanted: string) => string,
): SmallerForm | undefined {
  if (tensor.dataType !== FLOAT) return undefined;
  const shape = shapeOf(tensor);
  const elements = shape.reduce((product, size) => product * size, 1);
  const values = elements < MIN_ELEMENTS ? undefined : readFloats(tensor);
  if (values === undefined) return undefined;
  const axes = weightAxes(scope, name, tensor);
  if (axes === undefined) {
    return elements < MIN_PALETTE_ELEMENTS ? undefined : paletteForm(name, shape, values, freshName);
  }
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  // fp16 is exact to 11 bits only above 2^-14; weights far below that are better off with a scale.
  const fitsHalf = largest <= LARGEST_HALF && largest >= 2 ** -6;
  if (fitsHalf && (elements < minElements || elementsOfSlice(shape, axes) < MIN_SLICE)) {
    return halfForm(name, shape, values, freshName);
  }
  return largest > LARGEST_UNIT ? undefined : blockForm(name, shape, axes, values, blockSize, freshName);
}

function halfForm(
  name: string,
  shape: readonly number[],
  values: Float32Array,
  freshName: (wanted: string) => string,
): SmallerForm {
  const half = freshName('q');
  return {
    tensors: [makeTensor(half, FLOAT16, shape, Uint16Array.from(values, halfBitsOf))],
    nodes: [makeNode('Cast', [half], [name], { to: FLOAT })],
    restored: undefined,
  };
}

/** (integer × scale + offset) × unit, in the shape that the weights had. */
function blockForm(
  name: string,
  shape: readonly number[],
  axes: readonly number[],
  values: Float32Array,
  blockSize: number,
  freshName: (wanted: string) => string,
): SmallerForm {
  const blocks = quantiseBlocks(values, shape, axes, blockSize);
  const isCut = blocks.shape.length !== shape.length;
  // Short names: in graphs of many small layers they take a good part of the bytes.
  const [integers, scales, offsets, unit] = [freshName('q'), freshName('q'), freshName('q'), freshName('q')];
  const [integer, scale, offset] = [freshName('q'), freshName('q'), freshName('q')];
  const [scaled, shifted] = [freshName('q'), freshName('q')];
  const whole = isCut ? freshName('q') : name;
  const target = freshName('q');
  return {
    tensors: [
      makeTensor(integers, UINT8, blocks.shape, blocks.integers),
      makeTensor(scales, FLOAT16, blocks.scaleShape, blocks.scales),
      makeTensor(offsets, FLOAT16, blocks.scaleShape, blocks.offsets),
      float32Tensor(unit, [], [blocks.unit]),
      ...(isCut ? [int64Tensor(target, [shape.length], shape)] : []),
    ],
    nodes: [
      makeNode('Cast', [integers], [integer], { to: FLOAT }),
      makeNode('Cast', [scales], [scale], { to: FLOAT }),
      makeNode('Cast', [offsets], [offset], { to: FLOAT }),
      makeNode('Mul', [integer, scale], [scaled]),
      makeNode('Add', [scaled, offset], [shifted]),
      makeNode('Mul', [shifted, unit], [whole]),
      ...(isCut ? [makeNode('Reshape', [whole, target], [name])] : []),
    ],
    restored: blocks.restored,
  };
}

/**
 * Each element as its number in a table of the different values, when there are no more than a byte tells apart, as in the
 * anchor boxes of a detector. Nothing is lost.
 */
function paletteForm(
  name: string,
  shape: readonly number[],
  values: Float32Array,
  freshName: (wanted: string) => string,
): SmallerForm | undefined {
  // By their bits, since −0 and 0 are equal and yet two numbers.
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const places = new Map<number, number>();
  for (const value of bits) {
    if (!places.has(value)) places.set(value, places.size);
    if (places.size > 256) return undefined;
  }
  const table = new Float32Array(Uint32Array.from(places.keys()).buffer);
  const [indices, index, palette] = [freshName('q'), freshName('q'), freshName('q')];
  return {
    tensors: [
      makeTensor(
        indices,
        UINT8,
        shape,
        Uint8Array.from(bits, (value) => places.get(value) ?? 0),
      ),
      float32Tensor(palette, [table.length], table),
    ],
    nodes: [
      makeNode('Cast', [indices], [index], { to: INT32 }),
      makeNode('Gather', [palette, index], [name]),
    ],
    restored: undefined,
  };
}
