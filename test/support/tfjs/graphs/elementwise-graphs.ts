import type { SmallGraph } from '../build-onnx.ts';
import { graph, node, PICTURE, POSITIVE } from './graph.ts';

/** Operators on each element by itself. */
export function* activations(): Generator<SmallGraph> {
  for (const operator of [
    'Abs',
    'Elu',
    'Erf',
    'Exp',
    'HardSigmoid',
    'HardSwish',
    'LeakyRelu',
    'Neg',
    'Relu',
    'Sigmoid',
    'Softplus',
    'Tanh',
  ]) {
    yield graph(operator, ['N', 3, 4], [node('Mul', 'x five', {}, 'm'), node(operator, 'm')], {
      weights: { five: { shape: [], values: [5] } },
    });
  }
  yield graph('Sqrt', ['N', 5], [POSITIVE, node('Sqrt', 'p')]);
  yield graph('Log', ['N', 5], [POSITIVE, node('Add', 'p one', {}, 'q'), node('Log', 'q')], {
    weights: { one: { shape: [1], values: [0.01] } },
  });
  yield graph('Elu with alpha', ['N', 5], [node('Elu', 'x', { alpha: { float: 0.4 } })]);
  yield graph('LeakyRelu with alpha', ['N', 5], [node('LeakyRelu', 'x', { alpha: { float: 0.3 } })]);
  yield graph(
    'HardSigmoid with alpha and beta',
    ['N', 5],
    [node('HardSigmoid', 'x', { alpha: { float: 0.9 }, beta: { float: 0.3 } })],
  );
  const bounds = { low: { shape: [], values: [-0.25] }, high: { shape: [], values: [0.5] } };
  yield graph('Clip with both bounds', ['N', 5], [node('Clip', 'x low high')], { weights: bounds });
  yield graph('Clip with the lower bound', ['N', 5], [node('Clip', 'x low')], { weights: bounds });
  yield graph('Clip with the upper bound', ['N', 5], [node('Clip', 'x - high')], { weights: bounds });
  yield graph(
    'Clip with attributes',
    ['N', 5],
    [node('Clip', 'x', { min: { float: 0 }, max: { float: 6 } })],
    { opset: 9 },
  );
  yield graph('PRelu for each channel', PICTURE, [node('PRelu', 'x slope')], {
    weights: { slope: [4, 1, 1] },
  });
  yield graph('PRelu for all', PICTURE, [node('PRelu', 'x slope')], { weights: { slope: [1] } });
  yield graph('PRelu of a matrix', ['N', 4], [node('PRelu', 'x slope')], { weights: { slope: [4] } });
}

/** Operators on two or more values, with what ONNX broadcasts. */
export function* arithmetic(): Generator<SmallGraph> {
  for (const shape of [[], [8], [7, 1], [4, 1, 1], [1, 4, 1, 1], [4, 7, 8]]) {
    for (const operator of ['Add', 'Sub', 'Mul', 'Div']) {
      const weights = {
        w: [4, 4, 1, 1],
        k: {
          shape,
          values: Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => (i % 7) - 3.5),
        },
      };
      yield graph(`${operator} with a constant [${shape}]`, PICTURE, [node(operator, 'x k')], { weights });
      yield graph(
        `${operator} of a constant [${shape}] and a convolution`,
        PICTURE,
        [node('Conv', 'x w', {}, 'c'), node(operator, 'k c')],
        { weights },
      );
    }
  }
  yield graph(
    'Add of a picture in NCHW and one in NHWC',
    PICTURE,
    [node('Conv', 'x w', {}, 'c'), node('Add', 'x c')],
    {
      weights: { w: [4, 4, 1, 1] },
    },
  );
  yield graph(
    'Mul with a weight for each channel that is computed',
    PICTURE,
    [
      node('Conv', 'x w', {}, 'c'),
      node('GlobalAveragePool', 'c', {}, 'g'),
      node('Conv', 'g w', {}, 'h'),
      node('Sigmoid', 'h', {}, 's'),
      node('Mul', 'c s'),
    ],
    { weights: { w: [4, 4, 1, 1] } },
  );
  yield graph(
    'Sum, Min and Max of three',
    ['N', 5],
    [
      node('Neg', 'x', {}, 'n'),
      node('Sum', 'x n k', {}, 's'),
      node('Min', 's x k', {}, 'l'),
      node('Max', 'l n k'),
    ],
    { weights: { k: [5] } },
  );
  for (const exponent of [2, 0.5, 3, -1]) {
    yield graph(`Pow ${exponent}`, ['N', 5], [POSITIVE, node('Add', 'p k', {}, 'q'), node('Pow', 'q k')], {
      weights: { k: { shape: [], values: [exponent] } },
    });
  }
}
