import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import {
  type ModelProto,
  ModelProtoSchema,
  TensorProto_DataType,
} from '../../../../register/src/onnx/generated/onnx_pb.ts';
import { makeInt8Weights } from '../../../../register/src/onnx/make-int8-weights.ts';
import { makeNode } from '../../../../register/src/onnx/nodes.ts';
import { float32Tensor } from '../../../../register/src/onnx/tensor-data.ts';
import { onnxModel, randomNumbers, type SmallGraph, tensorInfo } from '../../../support/tfjs/build-onnx.ts';
import { largestDifference, runOnnx } from './run-onnx.ts';

const { FLOAT, UINT8, FLOAT16 } = TensorProto_DataType;

/** Half a step of 255 is 0.2 % of a block's range; a recurrent layer feeds its errors to itself. */
const TOLERANCE = 1e-2;
const RECURRENT_TOLERANCE = 4e-2;

function made(model: ModelProto): ModelProto {
  const before = toBinary(ModelProtoSchema, model);
  const result = makeInt8Weights(model);
  expect(toBinary(ModelProtoSchema, model), 'the model itself').toEqual(before);
  if (result.kind === 'left-out') throw new Error(result.reason);
  return result.value;
}

/** Elements that the model keeps as each kind. */
function elementsByKind({ graph }: ModelProto): Map<number, number> {
  const counts = new Map<number, number>();
  for (const { dataType, dims } of graph?.initializer ?? []) {
    const count = dims.reduce((product, size) => product * Number(size), 1);
    counts.set(dataType, (counts.get(dataType) ?? 0) + count);
  }
  return counts;
}

const LAYERS: readonly SmallGraph[] = [
  {
    name: 'convolution',
    inputs: { x: [1, 32, 9, 9] },
    weights: { w: [48, 32, 3, 3], b: [48] },
    nodes: [makeNode('Conv', ['x', 'w', 'b'], ['y'], { kernel_shape: [3, 3] })],
    outputs: ['y'],
  },
  {
    name: 'transposed convolution',
    inputs: { x: [1, 32, 5, 5] },
    weights: { w: [32, 24, 4, 4] },
    nodes: [makeNode('ConvTranspose', ['x', 'w'], ['y'], { kernel_shape: [4, 4], strides: [2, 2] })],
    outputs: ['y'],
  },
  {
    name: 'transposed convolution in groups',
    inputs: { x: [1, 64, 5, 5] },
    weights: { w: [64, 8, 4, 4] },
    nodes: [makeNode('ConvTranspose', ['x', 'w'], ['y'], { kernel_shape: [4, 4], group: 8 })],
    outputs: ['y'],
  },
  {
    name: 'Gemm with a transposed matrix',
    inputs: { x: ['N', 96] },
    weights: { w: [64, 96], b: [64] },
    nodes: [makeNode('Gemm', ['x', 'w', 'b'], ['y'], { transB: 1 })],
    outputs: ['y'],
  },
  {
    name: 'Gemm with constant first factor',
    inputs: { x: [80, 5] },
    weights: { w: [80, 96] },
    nodes: [makeNode('Gemm', ['w', 'x'], ['y'], { transA: 1 })],
    outputs: ['y'],
  },
  {
    name: 'matrix product in a batch',
    inputs: { x: [3, 2, 64] },
    weights: { w: [3, 64, 40] },
    nodes: [makeNode('MatMul', ['x', 'w'], ['y'])],
    outputs: ['y'],
  },
  {
    name: 'LSTM',
    inputs: { x: [4, 1, 48] },
    weights: { w: [1, 128, 48], r: [1, 128, 32] },
    nodes: [makeNode('LSTM', ['x', 'w', 'r'], ['y'], { hidden_size: 32 })],
    outputs: ['y'],
  },
  {
    name: 'weights behind Transpose, Reshape, Unsqueeze, Slice and Concat',
    inputs: { x: ['N', 64] },
    weights: { w: [96, 64] },
    integers: { flat: [1, 96, -1], zero: [0], from: [0], middle: [48], to: [96] },
    nodes: [
      makeNode('Reshape', ['w', 'flat'], ['cube']),
      makeNode('Squeeze', ['cube', 'zero'], ['square']),
      makeNode('Slice', ['square', 'middle', 'to', 'zero'], ['second']),
      makeNode('Slice', ['square', 'from', 'middle', 'zero'], ['first']),
      makeNode('Concat', ['second', 'first'], ['joined'], { axis: 0 }),
      makeNode('Transpose', ['joined'], ['turned'], { perm: [1, 0] }),
      makeNode('Identity', ['turned'], ['same']),
      makeNode('MatMul', ['x', 'same'], ['y']),
    ],
    outputs: ['y'],
  },
];

describe('int8 weights', () => {
  test.each(LAYERS.map((layer) => [layer.name, layer] as const))(
    '%s: small, and nearly the same',
    async (_, layer) => {
      const model = onnxModel(layer);
      const small = made(model);
      expect(elementsByKind(small).get(UINT8) ?? 0).toBeGreaterThan(0);
      expect(toBinary(ModelProtoSchema, small).length).toBeLessThan(
        toBinary(ModelProtoSchema, model).length * 0.4,
      );
      const tolerance = layer.name === 'LSTM' ? RECURRENT_TOLERANCE : TOLERANCE;
      expect(largestDifference(await runOnnx(model), await runOnnx(small))).toBeLessThan(tolerance);
    },
  );

  test.each([7, 8, 9, 10, 11, 12, 13])('works in opset %i as it is', async (opset) => {
    const [convolution] = LAYERS;
    const model = onnxModel({ ...(convolution as SmallGraph), opset });
    const small = made(model);
    expect(small.opsetImport[0]?.version).toBe(BigInt(opset));
    expect(largestDifference(await runOnnx(model), await runOnnx(small))).toBeLessThan(TOLERANCE);
  });

  test('an embedding keeps a scale for each row', async () => {
    const model = onnxModel({
      name: 'embedding',
      inputs: { x: ['N', 96] },
      weights: { table: [200, 96] },
      nodes: [makeNode('Gather', ['table', 'ids'], ['rows']), makeNode('Add', ['rows', 'x'], ['y'])],
      outputs: ['y'],
    });
    model.graph?.input.push(tensorInfo('ids', ['N'], TensorProto_DataType.INT64));
    const feeds = { ids: [3, 199] };
    expect(largestDifference(await runOnnx(model, feeds), await runOnnx(made(model), feeds))).toBeLessThan(
      TOLERANCE,
    );
  });

  test('weights of several nodes are kept once; weights that are an output or are added too stay fp32', async () => {
    const shared: SmallGraph = {
      name: 'shared',
      inputs: { x: ['N', 96] },
      weights: { w: [96, 96] },
      nodes: [makeNode('MatMul', ['x', 'w'], ['h']), makeNode('MatMul', ['h', 'w'], ['y'])],
      outputs: ['y'],
    };
    expect(elementsByKind(made(onnxModel(shared))).get(UINT8)).toBe(96 * 96);
    const added = onnxModel({
      ...shared,
      nodes: [...shared.nodes, makeNode('Add', ['w', 'w'], ['z'])],
      outputs: ['y', 'z'],
    });
    expect(makeInt8Weights(added)).toMatchObject({
      kind: 'left-out',
      reason: expect.stringContaining('no fp32 weights'),
    });
    const given = onnxModel({ ...shared, outputs: ['y', 'w'] });
    expect(makeInt8Weights(given).kind).toBe('left-out');
  });

  test('Constant nodes, doc strings and names of nodes go; what they gave does not', async () => {
    const random = randomNumbers(3);
    const value = float32Tensor('', [96, 64], Array.from({ length: 96 * 64 }, random));
    const model = onnxModel({
      name: 'constant',
      inputs: { x: ['N', 96] },
      nodes: [
        Object.assign(makeNode('Constant', [], ['w'], { value }), { docString: 'long'.repeat(1_000) }),
        makeNode('MatMul', ['x', 'w'], ['y']),
      ],
      outputs: ['y'],
    });
    const small = made(model);
    expect(toBinary(ModelProtoSchema, small).length).toBeLessThan(96 * 64 * 4 * 0.35);
    expect(largestDifference(await runOnnx(model), await runOnnx(small))).toBeLessThan(TOLERANCE);
  });

  test('a channel of zeros stays zero and minus zero does no harm', async () => {
    const random = randomNumbers(5);
    const values = Array.from({ length: 96 * 64 }, (_, index) =>
      index % 64 === 3 ? 0 : index % 64 === 4 ? -0 : random(),
    );
    const model = onnxModel({
      name: 'zeros',
      inputs: { x: [2, 96] },
      weights: { w: { shape: [96, 64], values } },
      nodes: [makeNode('MatMul', ['x', 'w'], ['y'])],
      outputs: ['y'],
    });
    const { y } = await runOnnx(made(model));
    for (const index of [3, 4, 67, 68]) expect(Math.abs(y?.[index] ?? 1)).toBe(0);
  });

  test('a depthwise convolution keeps fp16, which its few weights a channel need', async () => {
    const model = onnxModel({
      name: 'depthwise',
      inputs: { x: [1, 64, 8, 8] },
      weights: { w: [64, 1, 3, 3] },
      nodes: [makeNode('Conv', ['x', 'w'], ['y'], { kernel_shape: [3, 3], group: 64 })],
      outputs: ['y'],
    });
    const small = made(model);
    expect(elementsByKind(small).get(FLOAT16)).toBe(64 * 9);
    expect(largestDifference(await runOnnx(model), await runOnnx(small))).toBeLessThan(1e-3);
  });

  test('a large constant of few numbers becomes a table, without loss', async () => {
    const anchors = Array.from({ length: 4_000 }, (_, index) => Math.fround((index % 100) / 77));
    const model = onnxModel({
      name: 'anchors',
      inputs: { x: [1, 4_000] },
      weights: { anchors: { shape: [4_000], values: anchors } },
      nodes: [makeNode('Add', ['x', 'anchors'], ['y'])],
      outputs: ['y'],
    });
    const small = made(model);
    expect(elementsByKind(small).get(UINT8)).toBe(4_000);
    expect(largestDifference(await runOnnx(model), await runOnnx(small))).toBe(0);
  });

  test('a batch normalisation behind a convolution becomes part of it', async () => {
    const positive = Array.from({ length: 48 }, (_, index) => 0.1 + index / 48);
    const [convolution] = LAYERS as [SmallGraph];
    const model = onnxModel({
      ...convolution,
      weights: {
        ...convolution.weights,
        g: [48],
        beta: [48],
        mu: [48],
        variance: { shape: [48], values: positive },
      },
      nodes: [
        makeNode('Conv', ['x', 'w', 'b'], ['c'], { kernel_shape: [3, 3] }),
        makeNode('BatchNormalization', ['c', 'g', 'beta', 'mu', 'variance'], ['y']),
      ],
    });
    const small = made(model);
    expect(small.graph?.node.map(({ opType }) => opType)).not.toContain('BatchNormalization');
    expect(largestDifference(await runOnnx(model), await runOnnx(small))).toBeLessThan(TOLERANCE);
  });

  test('initialisers that an old file lists as inputs too are inputs no longer', async () => {
    const [convolution] = LAYERS as [SmallGraph];
    const model = onnxModel({ ...convolution, opset: 8 });
    model.irVersion = 3n;
    model.graph?.input.push(tensorInfo('w', [48, 32, 3, 3]), tensorInfo('b', [48]));
    const small = made(model);
    expect(small.graph?.input.map(({ name }) => name)).toEqual(['x']);
    expect(small.irVersion).toBe(4n);
    expect(largestDifference(await runOnnx(model), await runOnnx(small))).toBeLessThan(TOLERANCE);
  });

  test('the same model gives the same bytes', () => {
    const [convolution] = LAYERS as [SmallGraph];
    const bytes = () => toBinary(ModelProtoSchema, made(onnxModel(convolution)));
    expect(bytes()).toEqual(bytes());
  });

  test('weights that are not fp32, and opsets before 7, are left out', () => {
    const [convolution] = LAYERS as [SmallGraph];
    expect(makeInt8Weights(onnxModel({ ...convolution, opset: 6 }))).toEqual({
      kind: 'left-out',
      reason: 'int8 weights need opset 7 or newer, the model has 6',
    });
    const double = onnxModel(convolution);
    for (const tensor of double.graph?.initializer ?? [])
      if (tensor.dataType === FLOAT) tensor.dataType = TensorProto_DataType.INT32;
    expect(makeInt8Weights(double).kind).toBe('left-out');
    expect(makeInt8Weights(create(ModelProtoSchema, { opsetImport: [{ version: 17n }] })).kind).toBe(
      'left-out',
    );
  });
});
