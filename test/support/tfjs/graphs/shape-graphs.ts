import { makeNode } from '../../../../register/src/onnx/nodes.ts';
import { float32Tensor } from '../../../../register/src/onnx/tensor-data.ts';
import type { SmallGraph } from '../build-onnx.ts';
import { graph, node, PICTURE } from './graph.ts';

/** Reshape, Flatten, Transpose, Squeeze, Unsqueeze and the arithmetic of shapes. */
export function* shapes(): Generator<SmallGraph> {
  const conv = node('Conv', 'x w', { pads: [1, 1, 1, 1] }, 'c');
  const weights = { w: [6, 4, 3, 3], d: [6 * 56, 3], e: [3] };
  yield graph(
    'Flatten of a convolution, then Gemm',
    PICTURE,
    [conv, node('Flatten', 'c', {}, 'f'), node('Gemm', 'f d e')],
    { weights },
  );
  yield graph(
    'Flatten, Relu, MatMul',
    PICTURE,
    [conv, node('Flatten', 'c', {}, 'f'), node('Relu', 'f', {}, 'r'), node('MatMul', 'r d')],
    { weights },
  );
  yield graph('Flatten that is an output', PICTURE, [conv, node('Flatten', 'c')], { weights });
  yield graph(
    'Flatten axis 0 and 3',
    [2, 3, 4, 5],
    [node('Flatten', 'x', { axis: 0 }, 'f'), node('Flatten', 'x', { axis: 3 })],
    {
      outputs: ['y', 'f'],
    },
  );
  yield graph(
    'the shape that exporters compute for a free batch',
    PICTURE,
    [
      conv,
      node('Shape', 'c', {}, 's'),
      node('Gather', 's zero', {}, 'n'),
      node('Unsqueeze', 'n zeros', {}, 'u'),
      node('Concat', 'u rest', { axis: 0 }, 't'),
      node('Reshape', 'c t'),
    ],
    { weights, opset: 13, integers: { zero: 0, zeros: [0], rest: [-1, 8] } },
  );
  yield graph(
    'channel shuffle',
    PICTURE,
    [
      conv,
      node('Reshape', 'c apart', {}, 'a'),
      node('Transpose', 'a', { perm: [0, 2, 1, 3, 4] }, 't'),
      node('Reshape', 't together'),
    ],
    { weights, integers: { apart: [0, 2, 3, 7, 8], together: [0, -1, 7, 8] } },
  );
  yield graph(
    'detection head',
    PICTURE,
    [conv, node('Transpose', 'c', { perm: [0, 2, 3, 1] }, 't'), node('Reshape', 't boxes')],
    { weights, integers: { boxes: [0, -1, 2] } },
  );
  yield graph(
    'Squeeze and Unsqueeze of a convolution',
    PICTURE,
    [
      conv,
      node('ReduceMean', 'c', { axes: [2] }, 'm'),
      node('Squeeze', 'm two', {}, 's'),
      node('Unsqueeze', 's ends'),
    ],
    { weights, opset: 13, integers: { two: [2], ends: [0, -1] } },
  );
  yield graph('Squeeze of every axis of size 1', [3, 1, 4, 1], [node('Squeeze', 'x')]);
  yield graph(
    'Squeeze and Unsqueeze with attributes',
    [3, 1, 4],
    [node('Squeeze', 'x', { axes: [1] }, 's'), node('Unsqueeze', 's', { axes: [0, 2] })],
    { opset: 11 },
  );
  yield graph('Transpose by default', ['N', 3, 4], [node('Transpose', 'x')]);
  yield graph('Transpose there and back', PICTURE, [
    node('Transpose', 'x', { perm: [0, 2, 3, 1] }, 't'),
    node('Relu', 't', {}, 'r'),
    node('Transpose', 'r', { perm: [0, 3, 1, 2] }),
  ]);
  yield graph(
    'Cast, Dropout, Identity',
    ['N', 4],
    [node('Cast', 'x', { to: 1 }, 'a'), node('Dropout', 'a', {}, 'b'), node('Identity', 'b')],
  );
  yield graph(
    'Constants of each kind',
    ['N', 4],
    [
      makeNode('Constant', [], ['half'], { value_float: { float: 0.5 } }),
      makeNode('Constant', [], ['tensor'], { value: float32Tensor('', [4], [1, -2, 3, -4]) }),
      makeNode('Constant', [], ['first'], { value_int: 0 }),
      makeNode('Constant', [], ['split'], { value_ints: [0, 2, 2] }),
      node('Mul', 'x half', {}, 'm'),
      node('Add', 'm tensor', {}, 'a'),
      node('Reshape', 'a split', {}, 'r'),
      node('Shape', 'r', {}, 's'),
      node('Gather', 's first', {}, 'n'),
      node('Unsqueeze', 'n zeros', {}, 'u'),
      node('Concat', 'u four', { axis: 0 }, 't'),
      node('Reshape', 'r t'),
    ],
    { integers: { zeros: [0], four: [4] } },
  );
  yield graph('an input that is an output', ['N', 4], [node('Identity', 'x')]);
  yield graph('two outputs of one value', ['N', 4], [node('Relu', 'x', {}, 'z'), node('Identity', 'z')], {
    outputs: ['z', 'y'],
  });
}
