import { beforeAll, describe, expect, test } from 'vitest';
import { makeNode } from '../../../../register/src/onnx/nodes.ts';
import { makeTfjs } from '../../../../register/src/tfjs/make-tfjs.ts';
import { TFJS_OPERATORS } from '../../../../register/src/tfjs/operators.ts';
import { onnxModel, randomNumbers } from '../../../support/tfjs/build-onnx.ts';
import { graph, node, PICTURE } from '../../../support/tfjs/graphs/graph.ts';
import { networks } from '../../../support/tfjs/graphs/network-graphs.ts';
import {
  countOperations,
  expectMade,
  inputsFor,
  largestDifference,
  readJson,
  runOnnx,
  runTfjs,
  useBackend,
} from '../../../support/tfjs/run-graphs.ts';

const WEIGHTS = { weights: { w: [4, 4, 3, 3], b: [4] } } as const;

test('the list of operators can be printed as it is: each once, in order, with its limits', () => {
  const names = TFJS_OPERATORS.map(({ operator }) => operator.toLowerCase());
  expect(names).toEqual([...new Set(names)].toSorted());
  expect(TFJS_OPERATORS).toContainEqual({
    operator: 'Conv',
    limits: 'two dimensions, group 1 or depthwise, constant weights, known channels',
  });
});

describe('the graph that is made', () => {
  beforeAll(() => useBackend('wasm'));

  const conv = (from: string, to: string) => node('Conv', `${from} w b`, { pads: [1, 1, 1, 1] }, to);

  test('transposes a picture once at each border, however many convolutions are between them', () => {
    const nodes = [
      conv('x', 'a'),
      node('Relu', 'a', {}, 'r'),
      conv('r', 'c'),
      node('Add', 'c r', {}, 's'),
      conv('s', 'y'),
    ];
    const made = expectMade(makeTfjs(onnxModel(graph('', PICTURE, nodes, WEIGHTS))));
    expect(countOperations(made, 'Transpose')).toBe(2);
  });

  test.for([...networks()])('transposes a $name once, since its answer is no picture', (network) => {
    const made = expectMade(makeTfjs(onnxModel(network)));
    expect(countOperations(made, 'Transpose')).toBe(network.name === 'MLP' ? 0 : 1);
    for (const operation of ['Conv2D', 'DepthwiseConv2dNative', 'MatMul'])
      expect(countOperations(made, operation)).toBe(0);
  });

  test('shares the transpose of an input among its readers', () => {
    const nodes = [
      conv('x', 'a'),
      conv('x', 'b'),
      node('MaxPool', 'x', { kernel_shape: [1, 1] }, 'p'),
      node('Sum', 'a b p'),
    ];
    const made = expectMade(
      makeTfjs(onnxModel(graph('', PICTURE, nodes, { weights: { w: [4, 4, 3, 3], b: [4] } }))),
    );
    expect(countOperations(made, 'Transpose')).toBe(2);
  });

  test('has no transpose where the picture is NHWC outside', () => {
    const nodes = [
      node('Transpose', 'x', { perm: [0, 3, 1, 2] }, 't'),
      conv('t', 'c'),
      node('Transpose', 'c', { perm: [0, 2, 3, 1] }),
    ];
    const made = expectMade(makeTfjs(onnxModel(graph('', ['N', 7, 8, 4], nodes, WEIGHTS))));
    expect(countOperations(made, 'Transpose')).toBe(0);
  });

  test('is one operation for convolution, normalisation and activation', () => {
    const nodes = [conv('x', 'c'), node('BatchNormalization', 'c s s s v', {}, 'n'), node('Relu', 'n')];
    const weights = { ...WEIGHTS.weights, s: [4], v: { shape: [4], values: [1, 2, 3, 4] } };
    const made = expectMade(makeTfjs(onnxModel(graph('', PICTURE, nodes, { weights }))));
    const operations = readJson(made).modelTopology.node.map(({ op }) => op);
    expect(operations.filter((op) => !['Const', 'Placeholder', 'Transpose'].includes(op))).toEqual([
      '_FusedConv2D',
    ]);
  });

  test.each(['in:0', '^a', 'constructor', '__proto__', 'y with blanks', 'y'])(
    'answers to an input named "%s"',
    async (input) => {
      const small = {
        name: '',
        inputs: { [input]: ['N', 3] },
        nodes: [makeNode('Relu', [input], ['out:0'])],
        outputs: ['out:0'],
      };
      const model = onnxModel(small);
      const made = expectMade(makeTfjs(model));
      const inputs = inputsFor(made, 2, randomNumbers(1));
      expect(Object.keys(inputs)).toEqual([input]);
      expect(largestDifference(await runTfjs(made, inputs), await runOnnx(model, inputs))).toBe(0);
    },
  );

  test('keeps numbers that fp16 cannot hold', async () => {
    const model = onnxModel(
      graph('', ['N', 2], [node('Mul', 'x k')], { weights: { k: { shape: [2], values: [1e6, 0.1] } } }),
    );
    const made = expectMade(makeTfjs(model, { weights: 'fp16' }));
    const inputs = inputsFor(made, 2, randomNumbers(1));
    expect(largestDifference(await runTfjs(made, inputs), await runOnnx(model, inputs))).toBe(0);
  });

  test('changes nothing of the ONNX model', () => {
    const nodes = [conv('x', 'c'), node('Mul', 'c k', {}, 'm'), node('Add', 'm b2')];
    const weights = { ...WEIGHTS.weights, k: [4, 1, 1], b2: [4, 1, 1] };
    const model = onnxModel(graph('', PICTURE, nodes, { weights }));
    makeTfjs(model);
    expect(model).toEqual(onnxModel(graph('', PICTURE, nodes, { weights })));
  });
});
