import type { SmallGraph } from '../build-onnx.ts';
import { graph, node, PICTURE } from './graph.ts';

/** ReduceMean, ReduceSum, ReduceMax and ReduceMin. */
export function* reductions(): Generator<SmallGraph> {
  for (const operator of ['ReduceMean', 'ReduceSum', 'ReduceMax', 'ReduceMin']) {
    for (const axes of [[1], [2, 3], [-1], [0, 2], [1, 2, 3]]) {
      for (const keepdims of [0, 1]) {
        const conv = node('Conv', 'x w', {}, 'c');
        yield graph(
          `${operator} ${axes} keepdims ${keepdims}`,
          PICTURE,
          [
            conv,
            operator === 'ReduceSum'
              ? node(operator, 'c axes', { keepdims })
              : node(operator, 'c', { axes, keepdims }),
          ],
          { weights: { w: [4, 4, 1, 1] }, integers: { axes } },
        );
      }
    }
    yield graph(`${operator} of all`, PICTURE, [node(operator, 'x', { keepdims: 0 })]);
    yield graph(`${operator} opset 18`, PICTURE, [node(operator, 'x axes')], {
      opset: 18,
      integers: { axes: [1] },
    });
  }
}
