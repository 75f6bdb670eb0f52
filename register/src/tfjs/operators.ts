import type { Convert } from './context.ts';
import {
  convertClip,
  convertElu,
  convertHardSigmoid,
  convertHardSwish,
  convertLeakyRelu,
  convertPRelu,
  convertRelu,
  convertSame,
} from './convert-activation.ts';
import {
  convertAdd,
  convertDiv,
  convertMax,
  convertMin,
  convertMul,
  convertPow,
  convertSub,
  convertSum,
} from './convert-arithmetic.ts';
import { convertConv, convertConvTranspose } from './convert-convolution.ts';
import { convertConcat, convertPad } from './convert-join.ts';
import { convertGemm, convertMatMul } from './convert-matrix.ts';
import { convertBatchNormalization } from './convert-normalization.ts';
import { convertAveragePool, convertMaxPool } from './convert-pool.ts';
import { convertGlobalPool, convertReduction } from './convert-reduction.ts';
import {
  convertCast,
  convertFlatten,
  convertGather,
  convertIdentity,
  convertReshape,
  convertShape,
  convertSqueeze,
  convertTranspose,
  convertUnsqueeze,
} from './convert-shape.ts';
import { convertSlice, convertSplit } from './convert-slice.ts';
import { convertSoftmax } from './convert-softmax.ts';

/** An ONNX operator that becomes part of a tfjs graph. */
export interface Operator {
  readonly convert: Convert;
  /** What is not converted of it, or how it is; '' where all of it is, as it is. */
  readonly limits: string;
}

const PICTURES = 'two dimensions';
const SHAPES = 'only on shapes, which are computed when the model is made';

/** Every operator that is converted; a graph with any other has no tfjs variant. */
export const OPERATORS: ReadonlyMap<string, Operator> = new Map(
  Object.entries({
    Abs: all(convertSame),
    Add: all(convertAdd),
    AveragePool: only(convertAveragePool, `${PICTURES}, dilation 1`),
    BatchNormalization: only(
      convertBatchNormalization,
      'inference; folded into the convolution or product before it',
    ),
    Cast: only(convertCast, 'to fp32'),
    Clip: only(convertClip, 'constant bounds'),
    Concat: all(convertConcat),
    Constant: only(() => [], 'fp32 and integers; read with the weights'),
    Conv: only(convertConv, `${PICTURES}, group 1 or depthwise, constant weights, known channels`),
    ConvTranspose: only(
      convertConvTranspose,
      `${PICTURES}, group 1, dilation 1, constant weights, pads spelt out, known sizes`,
    ),
    Div: all(convertDiv),
    Dropout: only(convertIdentity, 'inference, where it does nothing'),
    Elu: all(convertElu),
    Erf: all(convertSame),
    Exp: all(convertSame),
    Flatten: all(convertFlatten),
    Gather: only(convertGather, SHAPES),
    Gemm: all(convertGemm),
    GlobalAveragePool: all(convertGlobalPool),
    GlobalMaxPool: all(convertGlobalPool),
    HardSigmoid: all(convertHardSigmoid),
    HardSwish: all(convertHardSwish),
    Identity: all(convertIdentity),
    LeakyRelu: all(convertLeakyRelu),
    Log: all(convertSame),
    LogSoftmax: all(convertSoftmax),
    MatMul: only(convertMatMul, 'matrices; batches of equal shape, or one for all'),
    Max: all(convertMax),
    MaxPool: only(convertMaxPool, `${PICTURES}, dilation 1, no indices`),
    Min: all(convertMin),
    Mul: all(convertMul),
    Neg: all(convertSame),
    Pad: only(convertPad, 'constant mode, pads from 0'),
    Pow: all(convertPow),
    PRelu: only(convertPRelu, 'constant slopes, one for all or one for each channel'),
    ReduceMax: only(convertReduction, 'constant axes'),
    ReduceMean: only(convertReduction, 'constant axes'),
    ReduceMin: only(convertReduction, 'constant axes'),
    ReduceSum: only(convertReduction, 'constant axes'),
    Relu: all(convertRelu),
    Reshape: only(
      convertReshape,
      'a shape that is constant or computed from shapes, with at most one free axis',
    ),
    Shape: only(convertShape, SHAPES),
    Sigmoid: all(convertSame),
    Slice: only(convertSlice, 'constant bounds, steps from 1, axes of known size'),
    Softmax: all(convertSoftmax),
    Softplus: all(convertSame),
    Split: only(convertSplit, 'constant sizes, an axis of known size'),
    Sqrt: all(convertSame),
    Squeeze: all(convertSqueeze),
    Sub: all(convertSub),
    Sum: all(convertSum),
    Tanh: all(convertSame),
    Transpose: only(convertTranspose, 'renames axes; moves memory only where what follows needs it'),
    Unsqueeze: all(convertUnsqueeze),
  }),
);

/** The operators and their limits, for the documentation. */
export const TFJS_OPERATORS: readonly { readonly operator: string; readonly limits: string }[] = Array.from(
  OPERATORS,
  ([operator, { limits }]) => ({ operator, limits }),
);

function all(convert: Convert): Operator {
  return { convert, limits: '' };
}

function only(convert: Convert, limits: string): Operator {
  return { convert, limits };
}
