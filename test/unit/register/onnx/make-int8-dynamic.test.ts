import { toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { type ModelProto, ModelProtoSchema } from '../../../../register/src/onnx/generated/onnx_pb.ts';
import { makeInt8Dynamic } from '../../../../register/src/onnx/make-int8-dynamic.ts';
import { type MadeAttributes, makeNode } from '../../../../register/src/onnx/nodes.ts';
import { onnxModel, type SmallGraph } from '../../../support/tfjs/build-onnx.ts';
import { largestDifference, runOnnx } from './run-onnx.ts';

/** Inputs have 8 bits for the whole tensor, weights nearly 8 for each output. */
const TOLERANCE = 2e-2;

function made(model: ModelProto): ModelProto {
  const before = toBinary(ModelProtoSchema, model);
  const result = makeInt8Dynamic(model);
  expect(toBinary(ModelProtoSchema, model), 'the model itself').toEqual(before);
  if (result.kind === 'left-out') throw new Error(result.reason);
  return result.value;
}

function count(model: ModelProto, opType: string): number {
  return (model.graph?.node ?? []).filter((node) => node.opType === opType).length;
}

function convolution(attributes: MadeAttributes, kernel: readonly number[] = [3, 3], opset = 17): SmallGraph {
  const picture = kernel.length === 1 ? [2, 64, 13] : [2, 64, 9, 11];
  return {
    name: 'convolution',
    opset,
    inputs: { x: picture },
    weights: { w: [64, 64, ...kernel], b: [64] },
    nodes: [makeNode('Conv', ['x', 'w', 'b'], ['y'], attributes)],
    outputs: ['y'],
  };
}

describe('dynamic int8', () => {
  test.each([
    ['no padding', {}, [3, 3]],
    ['padding', { pads: [1, 1, 1, 1] }, [3, 3]],
    ['padding on one side only', { pads: [0, 2, 1, 0] }, [3, 3]],
    ['steps of 2 and 3', { strides: [2, 3], pads: [1, 1, 1, 1] }, [3, 3]],
    ['gaps in the kernel', { dilations: [2, 1], pads: [2, 1, 2, 1] }, [3, 3]],
    ['gaps and steps', { dilations: [2, 2], strides: [2, 2] }, [3, 3]],
    ['a kernel of 1 × 5', { pads: [0, 2, 0, 2] }, [1, 5]],
    ['a kernel of 2 × 4', { strides: [1, 2] }, [2, 4]],
    ['a line in place of a picture', { pads: [2, 2] }, [5]],
    ['SAME_UPPER', { auto_pad: 'SAME_UPPER' }, [2, 4]],
    ['SAME_LOWER', { auto_pad: 'SAME_LOWER' }, [2, 4]],
    ['VALID', { auto_pad: 'VALID' }, [3, 3]],
  ] as const)('a convolution with %s', async (_, attributes, kernel) => {
    const model = onnxModel(convolution(attributes, kernel));
    const integer = made(model);
    expect(count(integer, 'Conv')).toBe(0);
    expect(count(integer, 'MatMulInteger')).toBe(1);
    expect(largestDifference(await runOnnx(model), await runOnnx(integer))).toBeLessThan(TOLERANCE);
  });

  test('a 1 × 1 convolution in steps of 2 needs no copies', async () => {
    const graph = convolution({ strides: [2, 2] }, [1, 1]);
    const model = onnxModel({ ...graph, weights: { w: [512, 64, 1, 1], b: [512] } });
    const integer = made(model);
    expect(count(integer, 'Concat')).toBe(0);
    expect(largestDifference(await runOnnx(model), await runOnnx(integer))).toBeLessThan(TOLERANCE);
  });

  test.each([11, 12, 13, 21])('opset %i', async (opset) => {
    const model = onnxModel(convolution({ pads: [1, 1, 1, 1] }, [3, 3], opset));
    expect(largestDifference(await runOnnx(model), await runOnnx(made(model)))).toBeLessThan(TOLERANCE);
  });

  test.each([7, 8, 9, 10])('opset %i is upgraded to 11', async (opset) => {
    const model = onnxModel(convolution({ pads: [1, 1, 1, 1] }, [3, 3], opset));
    const integer = made(model);
    expect(integer.opsetImport[0]?.version).toBe(11n);
    expect(largestDifference(await runOnnx(model), await runOnnx(integer))).toBeLessThan(TOLERANCE);
  });

  test.each([
    ['a matrix product', [makeNode('MatMul', ['x', 'w'], ['y'])], [256, 192]],
    ['Gemm', [makeNode('Gemm', ['x', 'w', 'b'], ['y'])], [256, 192]],
    ['Gemm with a transposed matrix', [makeNode('Gemm', ['x', 'w', 'b'], ['y'], { transB: 1 })], [192, 256]],
    ['Gemm without bias', [makeNode('Gemm', ['x', 'w'], ['y'], { beta: { float: 0.5 } })], [256, 192]],
  ] as const)('%s', async (_, nodes, shape) => {
    const model = onnxModel({
      name: 'product',
      inputs: { x: [3, 256] },
      weights: { w: shape, b: [192] },
      nodes,
      outputs: ['y'],
    });
    const integer = made(model);
    expect(count(integer, 'MatMulInteger')).toBe(1);
    expect(largestDifference(await runOnnx(model), await runOnnx(integer))).toBeLessThan(TOLERANCE);
  });

  test('an input of two products is quantised once, and weights of two are kept once', () => {
    const model = onnxModel({
      name: 'shared',
      inputs: { x: [3, 256] },
      weights: { w: [256, 256] },
      nodes: [
        makeNode('MatMul', ['x', 'w'], ['a']),
        makeNode('MatMul', ['x', 'w'], ['b']),
        makeNode('Add', ['a', 'b'], ['y']),
      ],
      outputs: ['y'],
    });
    const integer = made(model);
    expect(count(integer, 'DynamicQuantizeLinear')).toBe(1);
    expect(toBinary(ModelProtoSchema, integer).length).toBeLessThan(256 * 256 * 1.1);
  });

  test('inputs that never are 0 or never change are as near', async () => {
    const model = onnxModel(convolution({ pads: [1, 1, 1, 1] }));
    const integer = made(model);
    for (const value of [3.5, -2, 0]) {
      const feeds = { x: Array.from({ length: 2 * 64 * 9 * 11 }, () => value) };
      expect(largestDifference(await runOnnx(model, feeds), await runOnnx(integer, feeds))).toBeLessThan(
        TOLERANCE,
      );
    }
  });

  test.each([
    ['small', convolution({}, [1, 1])],
    ['in groups', { ...convolution({ group: 64 }), weights: { w: [640, 1, 5, 5], b: [640] } }],
    ['that pads by the size of the picture', convolution({ auto_pad: 'SAME_UPPER', strides: [2, 2] })],
    [
      'of computed weights',
      { ...convolution({}), inputs: { x: [1, 64, 9, 9], w: [64, 64, 3, 3] }, weights: { b: [64] } },
    ],
  ] as readonly (readonly [string, SmallGraph])[])('a convolution %s stays in fp32', (_, graph) => {
    expect(makeInt8Dynamic(onnxModel(graph))).toMatchObject({
      kind: 'left-out',
      reason: expect.stringContaining('large enough'),
    });
  });

  test('a model whose opset cannot be upgraded is left out, with the operator', () => {
    const graph = convolution({}, [3, 3], 10);
    const model = onnxModel({
      ...graph,
      nodes: [...graph.nodes, makeNode('Mystery', ['y'], ['z'])],
      outputs: ['z'],
    });
    expect(makeInt8Dynamic(model)).toEqual({
      kind: 'left-out',
      reason:
        'needs opset 11, the model has 10 and cannot be upgraded: operator Mystery ("z") is not known to mean the same',
    });
  });
});
