import type { NodeProto } from '../../../../register/src/onnx/generated/onnx_pb.ts';
import type { SmallGraph, Weights } from '../build-onnx.ts';
import { graph, node } from './graph.ts';

const RGB = ['N', 3, 33, 32] as const;

/** Small networks of the shapes that are in use, as exporters write them. */
export function* networks(): Generator<SmallGraph> {
  yield resNet();
  yield squeezeNet();
  yield mobileNetV3();
  yield vgg();
  yield graph(
    'MLP',
    ['N', 12],
    [
      node('Gemm', 'x w1 b1', { transB: 1 }, 'h'),
      node('Tanh', 'h', {}, 't'),
      node('MatMul', 't w2', {}, 'm'),
      node('Add', 'm b2', {}, 'a'),
      node('Softmax', 'a', { axis: -1 }),
    ],
    { weights: { w1: [20, 12], b1: [20], w2: [20, 5], b2: [5] } },
  );
}

/** He et al. 2015: a strided stem, residual blocks with normalisation, one of them with a projection. */
function resNet(): SmallGraph {
  const weights: Record<string, Weights> = { stem: [8, 3, 7, 7], fc: [5, 16], bias: [5] };
  const norm = (from: string, to: string, channels: number): NodeProto => {
    for (const name of ['s', 'b', 'm']) weights[`${name}${channels}`] = [channels];
    weights[`v${channels}`] = {
      shape: [channels],
      values: Array.from({ length: channels }, (_, at) => 0.5 + at / 8),
    };
    return node('BatchNormalization', `${from} s${channels} b${channels} m${channels} v${channels}`, {}, to);
  };
  const conv = (
    from: string,
    to: string,
    [outputs, inputs, size]: readonly [number, number, number],
    stride: number,
  ) => {
    weights[`w${to}`] = [outputs, inputs, size, size];
    const pad = (size - 1) / 2;
    return node('Conv', `${from} w${to}`, { strides: [stride, stride], pads: [pad, pad, pad, pad] }, to);
  };
  const nodes = [
    node('Conv', 'x stem', { strides: [2, 2], pads: [3, 3, 3, 3] }, 'c0'),
    norm('c0', 'n0', 8),
    node('Relu', 'n0', {}, 'r0'),
    node('MaxPool', 'r0', { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] }, 'p0'),
    conv('p0', 'c1', [8, 8, 3], 1),
    norm('c1', 'n1', 8),
    node('Relu', 'n1', {}, 'r1'),
    conv('r1', 'c2', [8, 8, 3], 1),
    norm('c2', 'n2', 8),
    node('Add', 'n2 p0', {}, 'a1'),
    node('Relu', 'a1', {}, 'r2'),
    conv('r2', 'c3', [16, 8, 3], 2),
    norm('c3', 'n3', 16),
    conv('r2', 'c4', [16, 8, 1], 2),
    norm('c4', 'n4', 16),
    node('Add', 'n3 n4', {}, 'a2'),
    node('Relu', 'a2', {}, 'r3'),
    node('GlobalAveragePool', 'r3', {}, 'g'),
    node('Flatten', 'g', {}, 'f'),
    node('Gemm', 'f fc bias', { transB: 1 }),
  ];
  return graph('ResNet', RGB, nodes, { weights });
}

/** Iandola et al. 2016: fire modules (squeeze, expand by two kernels, concatenate) and pools that round up. */
function squeezeNet(): SmallGraph {
  const pool = { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 };
  const nodes = [
    node('Conv', 'x stem b8', { strides: [2, 2] }, 'c0'),
    node('Relu', 'c0', {}, 'r0'),
    node('MaxPool', 'r0', pool, 'p0'),
    node('Conv', 'p0 squeeze b4', {}, 'c1'),
    node('Relu', 'c1', {}, 'r1'),
    node('Conv', 'r1 expand1 b8', {}, 'c2'),
    node('Relu', 'c2', {}, 'r2'),
    node('Conv', 'r1 expand3 b8', { pads: [1, 1, 1, 1] }, 'c3'),
    node('Relu', 'c3', {}, 'r3'),
    node('Concat', 'r2 r3', { axis: 1 }, 'j'),
    node('MaxPool', 'j', pool, 'p1'),
    node('Dropout', 'p1', {}, 'd'),
    node('Conv', 'd last b4', {}, 'c4'),
    node('Relu', 'c4', {}, 'r4'),
    node('GlobalAveragePool', 'r4', {}, 'g'),
    node('Softmax', 'g', { axis: 1 }, 's'),
    node('Reshape', 's flat'),
  ];
  const weights = {
    stem: [8, 3, 3, 3],
    squeeze: [4, 8, 1, 1],
    expand1: [8, 4, 1, 1],
    expand3: [8, 4, 3, 3],
    last: [4, 16, 1, 1],
    b4: [4],
    b8: [8],
  };
  return graph('SqueezeNet', RGB, nodes, { weights, integers: { flat: [0, -1] } });
}

/** Howard et al. 2019: depthwise convolutions, squeeze-and-excite, hard activations. */
function mobileNetV3(): SmallGraph {
  const nodes = [
    node('Conv', 'x stem b8', { strides: [2, 2], pads: [1, 1, 1, 1] }, 'c0'),
    node('HardSwish', 'c0', {}, 'h0'),
    node('Conv', 'h0 depthwise b8', { group: 8, pads: [2, 2, 2, 2] }, 'c1'),
    node('Relu', 'c1', {}, 'r1'),
    node('GlobalAveragePool', 'r1', {}, 'g'),
    node('Conv', 'g reduce b4', {}, 'e0'),
    node('Relu', 'e0', {}, 'e1'),
    node('Conv', 'e1 excite b8', {}, 'e2'),
    node('HardSigmoid', 'e2', { alpha: { float: 1 / 6 } }, 'e3'),
    node('Mul', 'r1 e3', {}, 'm'),
    node('Conv', 'm project b8', {}, 'c2'),
    node('Add', 'c2 h0', {}, 'a'),
    node('ReduceMean', 'a', { axes: [2, 3], keepdims: 0 }, 'v'),
    node('Gemm', 'v fc b4', { transB: 1 }),
  ];
  const weights = {
    stem: [8, 3, 3, 3],
    depthwise: [8, 1, 5, 5],
    reduce: [4, 8, 1, 1],
    excite: [8, 4, 1, 1],
    project: [8, 8, 1, 1],
    fc: [4, 8],
    b4: [4],
    b8: [8],
  };
  return graph('MobileNet v3', RGB, nodes, { weights });
}

/** Simonyan and Zisserman 2014: pictures that are flattened before the dense layers. */
function vgg(): SmallGraph {
  const nodes = [
    node('Conv', 'x stem b8', { pads: [1, 1, 1, 1] }, 'c0'),
    node('Relu', 'c0', {}, 'r0'),
    node('MaxPool', 'r0', { kernel_shape: [4, 4], strides: [4, 4] }, 'p0'),
    node('Flatten', 'p0', {}, 'f'),
    node('Gemm', 'f dense b16', { transB: 1 }, 'd'),
    node('Relu', 'd', {}, 'r1'),
    node('Dropout', 'r1', {}, 'o'),
    node('Gemm', 'o last b4', { transB: 1 }),
  ];
  const weights = { stem: [8, 3, 3, 3], b8: [8], dense: [16, 8 * 8 * 8], b16: [16], last: [4, 16], b4: [4] };
  return graph('VGG', RGB, nodes, { weights });
}
