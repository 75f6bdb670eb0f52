import type { SmallGraph } from '../build-onnx.ts';
import { CLIP, graph, node, PICTURE } from './graph.ts';

/** Gemm and MatMul. */
export function* matrices(): Generator<SmallGraph> {
  for (const transB of [0, 1]) {
    for (const c of [[], [1], [3], [1, 3], [2, 3]]) {
      yield graph(
        `Gemm transB ${transB} C [${c}]`,
        [2, 4],
        [node('Gemm', 'x b c', { transB, alpha: { float: 0.5 }, beta: { float: 2 } })],
        { weights: { b: transB === 1 ? [3, 4] : [4, 3], c } },
      );
    }
  }
  yield graph('Gemm transA', [4, 'N'], [node('Gemm', 'x b', { transA: 1 })], { weights: { b: [4, 3] } });
  yield {
    name: 'Gemm of three inputs',
    inputs: { x: ['N', 4], z: [3, 4], c: [3] },
    nodes: [node('Gemm', 'x z c', { transB: 1, alpha: { float: 2 }, beta: { float: 0.5 } })],
    outputs: ['y'],
  };
  yield graph(
    'Gemm, Relu, Gemm',
    ['N', 4],
    [node('Gemm', 'x b c', {}, 'h'), node('Relu', 'h', {}, 'r'), node('Gemm', 'r d')],
    { weights: { b: [4, 6], c: [6], d: [6, 2] } },
  );
  yield graph(
    'MatMul, Add, Clip',
    ['N', 4],
    [node('MatMul', 'x b', {}, 'm'), node('Add', 'm c', {}, 'a'), node('Clip', 'a low high')],
    { weights: { b: [4, 6], c: [6], ...CLIP } },
  );
  yield graph(
    'MatMul of rank 3 with weights',
    ['N', 5, 4],
    [node('MatMul', 'x b', {}, 'm'), node('Add', 'm c')],
    {
      weights: { b: [4, 3], c: [3] },
    },
  );
  yield graph(
    'MatMul of rank 3, Add, Relu, twice',
    ['N', 5, 4],
    [
      node('MatMul', 'x b', {}, 'm'),
      node('Add', 'm c', {}, 'a'),
      node('Relu', 'a', {}, 'r'),
      node('MatMul', 'r d', {}, 'n'),
      node('Add', 'e n'),
    ],
    { weights: { b: [4, 6], c: [6], d: [6, 4], e: [4] } },
  );
  yield graph(
    'MatMul with one matrix for all',
    [3, 5, 4],
    [node('MatMul', 'x b', {}, 'm'), node('Add', 'm c')],
    {
      weights: { b: [1, 4, 2], c: [2] },
    },
  );
  yield graph('MatMul of one matrix with all', [1, 5, 4], [node('MatMul', 'x b')], {
    weights: { b: [3, 4, 2] },
  });
  yield graph('MatMul with weights of rank 3', [2, 5, 4], [node('MatMul', 'x b')], {
    weights: { b: [2, 4, 3] },
  });
  yield graph(
    'MatMul of what is computed',
    ['N', 2, 5, 4],
    [
      node('Transpose', 'x', { perm: [0, 1, 3, 2] }, 't'),
      node('MatMul', 'x t', {}, 's'),
      node('Softmax', 's', {}, 'p'),
      node('MatMul', 'p x'),
    ],
  );
  yield graph('MatMul of weights and what is computed', [4, 5], [node('MatMul', 'b x')], {
    weights: { b: [3, 4] },
  });
}

/** Softmax and LogSoftmax. */
export function* normalised(): Generator<SmallGraph> {
  for (const operator of ['Softmax', 'LogSoftmax']) {
    for (const axis of [-1, 0, 1, 2, 3]) {
      for (const opset of [11, 13]) {
        yield graph(
          `${operator} axis ${axis} opset ${opset}`,
          [2, 3, 4, 5],
          [node(operator, 'x', { axis })],
          { opset },
        );
      }
    }
    yield graph(
      `${operator} of the channels of a convolution`,
      PICTURE,
      [node('Conv', 'x w', {}, 'c'), node(operator, 'c', { axis: 1 })],
      { weights: { w: [4, 4, 1, 1] } },
    );
    yield graph(`${operator} by default, opset 11`, ['N', 3, 1, 1], [node(operator, 'x')], { opset: 11 });
  }
}
