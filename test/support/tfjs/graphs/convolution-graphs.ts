import type { SmallGraph } from '../build-onnx.ts';
import { CONV_PADS, graph, node, PICTURE } from './graph.ts';

const CONV_KERNELS: readonly (readonly [number, number])[] = [
  [1, 1],
  [3, 3],
  [2, 5],
];
const CONV_STRIDES: readonly (readonly [number, number])[] = [
  [1, 1],
  [2, 2],
  [1, 2],
];

/** Conv: kernels, strides, pads, dilations, groups. */
export function* convolutions(): Generator<SmallGraph> {
  for (const kernel of CONV_KERNELS) {
    for (const strides of CONV_STRIDES) {
      for (const [padName, pads] of Object.entries(CONV_PADS)) {
        const name = `Conv ${kernel.join('×')} stride ${strides.join('×')} pads ${padName}`;
        yield graph(name, PICTURE, [node('Conv', 'x w b', { strides, ...pads })], {
          weights: { w: [5, 4, ...kernel], b: [5] },
        });
      }
    }
  }
  for (const dilations of [
    [2, 2],
    [1, 2],
  ] as const) {
    for (const strides of [
      [1, 1],
      [2, 2],
    ] as const) {
      for (const pads of [
        [0, 0, 0, 0],
        [2, 2, 2, 2],
        [2, 1, 0, 2],
      ]) {
        const name = `dilation ${dilations.join('×')} stride ${strides.join('×')} pads ${pads}`;
        const attributes = { dilations, strides, pads };
        yield graph(`Conv ${name}`, PICTURE, [node('Conv', 'x w', attributes)], {
          weights: { w: [3, 4, 3, 3] },
        });
        yield graph(`depthwise Conv ${name}`, PICTURE, [node('Conv', 'x w', { ...attributes, group: 4 })], {
          weights: { w: [4, 1, 3, 3] },
        });
      }
    }
  }
  for (const multiplier of [1, 2, 3]) {
    for (const strides of [
      [1, 1],
      [2, 2],
    ] as const) {
      for (const [padName, pads] of Object.entries(CONV_PADS)) {
        const name = `depthwise Conv × ${multiplier} stride ${strides.join('×')} pads ${padName}`;
        yield graph(name, PICTURE, [node('Conv', 'x w b', { strides, group: 4, ...pads })], {
          weights: { w: [4 * multiplier, 1, 3, 3], b: [4 * multiplier] },
        });
      }
    }
  }
  yield graph('Conv of one channel, which is no depthwise one', ['N', 1, 6, 6], [node('Conv', 'x w')], {
    weights: { w: [3, 1, 3, 3] },
  });
  yield graph(
    'Conv of a picture of free size',
    ['N', 3, 'H', 'W'],
    [
      node('Conv', 'x w', { pads: [1, 1, 1, 1] }, 'c'),
      node('Relu', 'c', {}, 'r'),
      node('Conv', 'r v', { auto_pad: 'SAME_UPPER', strides: [2, 2] }, 'd'),
      node('GlobalAveragePool', 'd'),
    ],
    { weights: { w: [4, 3, 3, 3], v: [4, 4, 3, 3] } },
  );
}
