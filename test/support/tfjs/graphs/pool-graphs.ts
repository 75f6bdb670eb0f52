import type { MadeAttributes } from '../../../../register/src/onnx/nodes.ts';
import type { SmallGraph } from '../build-onnx.ts';
import { CONV_PADS, graph, node, PICTURE } from './graph.ts';

/** MaxPool, AveragePool and the global ones. */
export function* pools(): Generator<SmallGraph> {
  const pads: Readonly<Record<string, MadeAttributes>> = {
    ...CONV_PADS,
    'one after': { pads: [0, 0, 1, 1] },
  };
  for (const operator of ['MaxPool', 'AveragePool']) {
    for (const kernel of [
      [2, 2],
      [3, 3],
      [3, 2],
    ] as const) {
      for (const strides of [
        [1, 1],
        [2, 2],
        [2, 3],
      ] as const) {
        for (const [padName, padding] of Object.entries(pads)) {
          if (padName === 'uneven' && kernel[1] < 3) continue;
          for (const counts of operator === 'AveragePool' ? [0, 1] : [undefined]) {
            const counted = counts === undefined ? '' : ` count_include_pad ${counts}`;
            const name = `${operator} ${kernel.join('×')} stride ${strides.join('×')} pads ${padName}${counted}`;
            const attributes = {
              kernel_shape: kernel,
              strides,
              ...padding,
              ...(counts !== undefined && { count_include_pad: counts }),
            };
            yield graph(name, PICTURE, [node(operator, 'x', attributes)]);
          }
        }
      }
    }
  }
  for (const size of [7, 8, 9]) {
    for (const kernel of [2, 3]) {
      for (const padding of [0, 1]) {
        const attributes = {
          kernel_shape: [kernel, kernel],
          strides: [2, 2],
          pads: [padding, padding, padding, padding],
          ceil_mode: 1,
        };
        const name = `${kernel}×${kernel} stride 2 pads ${padding} ceil_mode of ${size}×${size + 1}`;
        yield graph(`MaxPool ${name}`, ['N', 3, size, size + 1], [node('MaxPool', 'x', attributes)]);
        for (const counts of [0, 1]) {
          yield graph(
            `AveragePool ${name} count_include_pad ${counts}`,
            ['N', 3, size, size + 1],
            [node('AveragePool', 'x', { ...attributes, count_include_pad: counts })],
            { opset: 19 },
          );
        }
      }
    }
  }
  yield graph('GlobalAveragePool', PICTURE, [node('GlobalAveragePool', 'x')]);
  yield graph('GlobalMaxPool', PICTURE, [node('GlobalMaxPool', 'x')]);
}
