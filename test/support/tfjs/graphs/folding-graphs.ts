import type { NodeProto } from '../../../../register/src/onnx/generated/onnx_pb.ts';
import type { MadeAttributes } from '../../../../register/src/onnx/nodes.ts';
import type { SmallGraph } from '../build-onnx.ts';
import { CLIP, graph, NORMALIZE, node, PICTURE, STATISTICS } from './graph.ts';

/** What is folded into a convolution, and what must not be. */
export function* foldings(): Generator<SmallGraph> {
  const weights = {
    w: [4, 4, 3, 3],
    b: [4],
    k: { shape: [4, 1, 1], values: [1, -2, 0.5, 3] },
    ...CLIP,
    ...STATISTICS,
  };
  const conv = node('Conv', 'x w b', { pads: [1, 1, 1, 1] }, 'c');
  const follow = (name: string, ...nodes: readonly NodeProto[]) =>
    graph(`Conv, then ${name}`, PICTURE, [conv, ...nodes], { weights });
  yield follow(
    'BatchNormalization',
    node('BatchNormalization', `c ${NORMALIZE}`, { epsilon: { float: 1e-3 } }),
  );
  yield follow(
    'BatchNormalization, Relu',
    node('BatchNormalization', `c ${NORMALIZE}`, {}, 'n'),
    node('Relu', 'n'),
  );
  yield follow('Add of a constant', node('Add', 'c k'));
  yield follow('Mul, a constant first', node('Mul', 'k c'));
  yield follow('Div, Sub', node('Div', 'c k', {}, 'd'), node('Sub', 'd k'));
  yield follow('constant − it', node('Sub', 'k c'));
  yield follow('constant / it', node('Div', 'k c'));
  yield follow('Clip to 0..6', node('Clip', 'c low high'));
  yield follow('a reader beside the Relu', node('Relu', 'c', {}, 'r'), node('Add', 'c r'));
  yield follow('Relu, Add', node('Relu', 'c', {}, 'r'), node('Add', 'r k'));
  yield follow(
    'Identity and a reader of both',
    node('Identity', 'c', {}, 'i'),
    node('Relu', 'i', {}, 'r'),
    node('Add', 'r c'),
  );
  yield graph('Conv that is an output, then Relu', PICTURE, [conv, node('Relu', 'c')], {
    weights,
    outputs: ['y', 'c'],
  });
  yield graph(
    'depthwise Conv × 2, then BatchNormalization, Relu',
    ['N', 2, 6, 6],
    [
      node('Conv', 'x w', { group: 2 }, 'c'),
      node('BatchNormalization', `c ${NORMALIZE}`, {}, 'n'),
      node('Relu', 'n'),
    ],
    { weights: { w: [4, 1, 3, 3], ...STATISTICS } },
  );
  yield graph('BatchNormalization of an input', PICTURE, [node('BatchNormalization', `x ${NORMALIZE}`)], {
    weights,
  });
  yield graph('BatchNormalization of a matrix', ['N', 4], [node('BatchNormalization', `x ${NORMALIZE}`)], {
    weights,
  });
}

/** ConvTranspose. */
export function* transposedConvolutions(): Generator<SmallGraph> {
  const cases: readonly [string, number, MadeAttributes][] = [
    ['2×2 stride 2', 2, { strides: [2, 2] }],
    ['3×3 stride 2 pads 1 more 1', 3, { strides: [2, 2], pads: [1, 1, 1, 1], output_padding: [1, 1] }],
    ['3×3 stride 2 more 1', 3, { strides: [2, 2], output_padding: [1, 1] }],
    ['4×4 stride 2 pads 1', 4, { strides: [2, 2], pads: [1, 1, 1, 1] }],
    ['3×3', 3, {}],
    ['3×3 uneven pads', 3, { strides: [2, 1], pads: [1, 0, 0, 2] }],
  ];
  for (const batch of [2, 'N']) {
    for (const [name, kernel, attributes] of cases) {
      yield graph(
        `ConvTranspose ${name}, batch ${batch}`,
        [batch, 3, 4, 5],
        [node('ConvTranspose', 'x w b', attributes)],
        {
          weights: { w: [3, 4, kernel, kernel], b: [4] },
        },
      );
    }
  }
  yield graph(
    'ConvTranspose, then BatchNormalization, Relu',
    ['N', 3, 4, 5],
    [
      node('ConvTranspose', 'x w', { strides: [2, 2] }, 'c'),
      node('BatchNormalization', `c ${NORMALIZE}`, {}, 'n'),
      node('Relu', 'n'),
    ],
    { weights: { w: [3, 4, 2, 2], ...STATISTICS } },
  );
}
