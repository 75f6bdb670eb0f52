import { describe, expect, test } from 'vitest';
import { correctedBias } from '../../../../register/src/onnx/correct-bias.ts';
import { expectedValues } from '../../../../register/src/onnx/expected-inputs.ts';
import { makeNode } from '../../../../register/src/onnx/nodes.ts';
import { scopeOf } from '../../../../register/src/onnx/scope.ts';
import { onnxModel, randomNumbers } from '../../../support/tfjs/build-onnx.ts';
import { largestDifference, runOnnx } from './run-onnx.ts';

/** Normal numbers by Box & Muller (1958). */
function normals(count: number): readonly number[] {
  const random = randomNumbers(11);
  return Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log((random() + 1) / 2 + 1e-12));
    return radius * Math.cos(Math.PI * random());
  });
}

describe('what batch normalisations tell', () => {
  const beta = [0.5, -1, 3];
  const gamma = [1, -0.5, 4];

  function modelWith(opset: number, ...activation: Parameters<typeof makeNode>[]) {
    return onnxModel({
      name: 'normalised',
      opset,
      inputs: { x: [1, 3, 2, 2] },
      weights: {
        gamma: { shape: [3], values: gamma },
        beta: { shape: [3], values: beta },
        mu: { shape: [3], values: [0, 0, 0] },
        variance: { shape: [3], values: [1, 1, 1] },
        six: { shape: [], values: [6] },
        zero: { shape: [], values: [0] },
      },
      nodes: [
        makeNode('BatchNormalization', ['x', 'gamma', 'beta', 'mu', 'variance'], ['n']),
        ...activation.map((parts) => makeNode(...parts)),
      ],
      outputs: ['y'],
    });
  }

  test.each([
    [
      'as it is',
      modelWith(13, ['Identity', ['n'], ['y']]),
      [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
    ],
    ['behind Relu', modelWith(13, ['Relu', ['n'], ['y']]), [0, Number.POSITIVE_INFINITY]],
    ['behind Clip by inputs', modelWith(13, ['Clip', ['n', 'zero', 'six'], ['y']]), [0, 6]],
    [
      'behind Clip by attributes',
      modelWith(10, ['Clip', ['n'], ['y'], { min: { float: -0.5 }, max: { float: 1 } }]),
      [-0.5, 1],
    ],
  ] as const)('the mean %s is that of many samples', (_, model, [low, high]) => {
    const found = expectedValues(model).get('y');
    const samples = normals(200_000);
    for (const [channel, mean] of beta.entries()) {
      const deviation = gamma[channel] ?? 0;
      const total = samples.reduce((sum, z) => sum + Math.min(high, Math.max(low, mean + deviation * z)), 0);
      expect(found?.[channel]).toBeCloseTo(total / samples.length, 1);
    }
  });

  test('nothing is known behind other operators, or without a normalisation', () => {
    expect(expectedValues(modelWith(13, ['Exp', ['n'], ['y']])).get('y')).toBeUndefined();
    expect(expectedValues(modelWith(13, ['Relu', ['x'], ['y']])).get('y')).toBeUndefined();
  });

  test('channels that are joined keep their means, in order', () => {
    const model = modelWith(13, ['Relu', ['n'], ['r']], ['Concat', ['r', 'n'], ['y'], { axis: 1 }]);
    expect(expectedValues(model).get('y')?.slice(3)).toEqual(Float64Array.from(beta));
  });
});

describe('correcting a bias', () => {
  test.each([1, 2, 6])('an input of its mean gives what it gave before, in %i groups', async (group) => {
    const random = randomNumbers(2);
    const shape = [12, 6 / group, 3, 3];
    const count = shape.reduce((product, size) => product * size, 1);
    const before = Float32Array.from({ length: count }, random);
    const after = before.map((value) => value + random() / 10);
    const mean = Float64Array.from({ length: 6 }, random);

    const convolution = (weights: Float32Array, bias: readonly number[]) =>
      onnxModel({
        name: 'convolution',
        inputs: { x: [1, 6, 4, 4] },
        weights: { w: { shape, values: [...weights] }, b: { shape: [12], values: bias } },
        nodes: [makeNode('Conv', ['x', 'w', 'b'], ['y'], { group })],
        outputs: ['y'],
      });
    const given = Array.from({ length: 12 }, random);
    const model = convolution(before, given);
    const graph = model.graph!;
    const [node] = graph.node;
    const bias = correctedBias(node!, scopeOf(graph), new Map([['x', mean]]), shape, before, after);

    const feeds = { x: Array.from({ length: 6 * 16 }, (_, index) => mean[Math.floor(index / 16)] ?? 0) };
    const expected = await runOnnx(model, feeds);
    const corrected = await runOnnx(convolution(after, [...(bias ?? [])]), feeds);
    const uncorrected = await runOnnx(convolution(after, given), feeds);
    expect(largestDifference(expected, corrected)).toBeLessThan(1e-5);
    expect(largestDifference(expected, uncorrected)).toBeGreaterThan(1e-2);
  });

  test('is not tried where the mean or the bias is not known', () => {
    const model = onnxModel({
      name: 'computed',
      inputs: { x: [1, 2, 4, 4], b: [2] },
      weights: { w: [2, 2, 1, 1] },
      nodes: [makeNode('Conv', ['x', 'w', 'b'], ['y'])],
      outputs: ['y'],
    });
    const scope = scopeOf(model.graph!);
    const [node] = model.graph!.node;
    const weights = new Float32Array(4);
    const known = new Map([['x', new Float64Array(2)]]);
    expect(correctedBias(node!, scope, new Map(), [2, 2, 1, 1], weights, weights)).toBeUndefined();
    expect(correctedBias(node!, scope, known, [2, 2, 1, 1], weights, weights)).toBeUndefined();
  });
});
