import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  ModelProtoSchema,
} from '../../../../register/src/onnx/generated/onnx_pb.ts';
import { type MadeAttributes, makeNode } from '../../../../register/src/onnx/nodes.ts';
import { upgradeOpset } from '../../../../register/src/onnx/upgrade-opset.ts';
import { onnxModel, type SmallGraph } from '../../../support/tfjs/build-onnx.ts';
import { largestDifference, runOnnx } from './run-onnx.ts';

interface OldGraph {
  readonly name: string;
  readonly opset: number;
  readonly op: string;
  readonly attributes?: MadeAttributes;
  readonly shape: readonly number[];
  readonly weights?: SmallGraph['weights'];
  readonly integers?: SmallGraph['integers'];
  /** Inputs behind x. */
  readonly inputs?: readonly string[];
  readonly outputs?: readonly string[];
}

const positive = { shape: [3], values: [0.5, 1, 2] };

const OLD: readonly OldGraph[] = [
  {
    name: 'BatchNormalization',
    opset: 8,
    op: 'BatchNormalization',
    shape: [2, 3, 4, 4],
    weights: { g: [3], b: [3], m: [3], v: positive },
    inputs: ['g', 'b', 'm', 'v'],
  },
  {
    name: 'Clip by attributes',
    opset: 7,
    op: 'Clip',
    attributes: { min: { float: -0.25 }, max: { float: 0.5 } },
    shape: [2, 5],
  },
  { name: 'Clip on one side', opset: 8, op: 'Clip', attributes: { max: { float: 0.5 } }, shape: [2, 5] },
  { name: 'Clip without bounds', opset: 8, op: 'Clip', shape: [2, 5] },
  { name: 'Dropout', opset: 7, op: 'Dropout', attributes: { ratio: { float: 0.5 } }, shape: [2, 5] },
  { name: 'Dropout', opset: 10, op: 'Dropout', attributes: { ratio: { float: 0.5 } }, shape: [2, 5] },
  {
    name: 'Pad',
    opset: 9,
    op: 'Pad',
    attributes: { pads: [0, 1, 0, 2], value: { float: 1.5 } },
    shape: [2, 5],
  },
  { name: 'Pad by zeros', opset: 10, op: 'Pad', attributes: { pads: [1, 0, 0, 0] }, shape: [2, 5] },
  {
    name: 'Pad by reflection',
    opset: 8,
    op: 'Pad',
    attributes: { pads: [0, 2, 0, 1], mode: 'reflect' },
    shape: [2, 5],
  },
  { name: 'ReduceSum', opset: 11, op: 'ReduceSum', attributes: { axes: [-1], keepdims: 0 }, shape: [2, 5] },
  { name: 'ReduceSum of all', opset: 8, op: 'ReduceSum', shape: [2, 5] },
  {
    name: 'Resize to the nearest',
    opset: 10,
    op: 'Resize',
    attributes: { mode: 'nearest' },
    shape: [1, 2, 3, 3],
    weights: { s: { shape: [4], values: [1, 1, 2, 2.5] } },
    inputs: ['s'],
  },
  {
    name: 'Resize linearly',
    opset: 10,
    op: 'Resize',
    attributes: { mode: 'linear' },
    shape: [1, 2, 3, 3],
    weights: { s: { shape: [4], values: [1, 1, 2, 2] } },
    inputs: ['s'],
  },
  {
    name: 'Upsample by an input',
    opset: 9,
    op: 'Upsample',
    attributes: { mode: 'nearest' },
    shape: [1, 2, 3, 3],
    weights: { s: { shape: [4], values: [1, 1, 2, 3] } },
    inputs: ['s'],
  },
  {
    name: 'Slice',
    opset: 8,
    op: 'Slice',
    attributes: { starts: [1, -3], ends: [9, -1], axes: [0, 1] },
    shape: [3, 5],
  },
  {
    name: 'Slice of the first axes',
    opset: 9,
    op: 'Slice',
    attributes: { starts: [1], ends: [2] },
    shape: [3, 5],
  },
  { name: 'Softmax over several axes', opset: 9, op: 'Softmax', shape: [2, 3, 4] },
  {
    name: 'Softmax over all but the last',
    opset: 11,
    op: 'Softmax',
    attributes: { axis: 2 },
    shape: [2, 3, 4],
  },
  { name: 'Softmax over the last', opset: 11, op: 'Softmax', attributes: { axis: -1 }, shape: [2, 3, 4] },
  { name: 'Softmax over everything', opset: 12, op: 'Softmax', attributes: { axis: 0 }, shape: [2, 3] },
  { name: 'LogSoftmax', opset: 12, op: 'LogSoftmax', shape: [2, 3, 4] },
  { name: 'Hardmax', opset: 11, op: 'Hardmax', shape: [2, 3, 4] },
  {
    name: 'Split',
    opset: 11,
    op: 'Split',
    attributes: { split: [2, 3], axis: 1 },
    shape: [2, 5],
    outputs: ['y', 'z'],
  },
  {
    name: 'Split in equal parts',
    opset: 8,
    op: 'Split',
    attributes: { axis: 1 },
    shape: [2, 6],
    outputs: ['y', 'z'],
  },
  { name: 'Squeeze', opset: 11, op: 'Squeeze', attributes: { axes: [1] }, shape: [2, 1, 5] },
  { name: 'Squeeze of what is 1', opset: 12, op: 'Squeeze', shape: [2, 1, 5] },
  { name: 'Unsqueeze', opset: 7, op: 'Unsqueeze', attributes: { axes: [0, 2] }, shape: [2, 5] },
  { name: 'TopK', opset: 9, op: 'TopK', attributes: { k: 2, axis: 1 }, shape: [2, 5], outputs: ['y', 'z'] },
  {
    name: 'ConvTranspose',
    opset: 8,
    op: 'ConvTranspose',
    attributes: { strides: [2, 2] },
    shape: [1, 2, 3, 3],
    weights: { w: [2, 3, 2, 2] },
    inputs: ['w'],
  },
  {
    name: 'Scatter',
    opset: 9,
    op: 'Scatter',
    attributes: { axis: 0 },
    shape: [3],
    weights: { u: [1] },
    integers: { i: [1] },
    inputs: ['i', 'u'],
  },
  {
    name: 'Gemm',
    opset: 7,
    op: 'Gemm',
    attributes: { transB: 1, alpha: { float: 0.5 } },
    shape: [2, 3],
    weights: { w: [4, 3], c: [4] },
    inputs: ['w', 'c'],
  },
  { name: 'MaxPool', opset: 7, op: 'MaxPool', attributes: { kernel_shape: [2, 2] }, shape: [1, 2, 4, 4] },
];

function oldModel({
  name,
  opset,
  op,
  attributes,
  shape,
  weights = {},
  integers = {},
  inputs = [],
  outputs = ['y'],
}: OldGraph) {
  return onnxModel({
    name,
    opset,
    inputs: { x: shape },
    weights,
    integers,
    nodes: [makeNode(op, ['x', ...inputs], outputs, attributes)],
    outputs,
  });
}

describe('upgrading the opset', () => {
  const cases = OLD.flatMap((graph) =>
    [11, 13].map((target) => [graph.name, graph.opset, target, graph] as const),
  );

  test.each(cases)('%s of opset %i means the same in %i', async (_, opset, target, graph) => {
    const model = oldModel(graph);
    // Free of types, as `TopK` and others give integers.
    for (const { type } of model.graph?.output.slice(1) ?? []) {
      if (graph.op === 'TopK' && type?.value.case === 'tensorType') type.value.value.elemType = 7;
    }
    const before = toBinary(ModelProtoSchema, model);
    const upgraded = upgradeOpset(model, target);
    expect(toBinary(ModelProtoSchema, model)).toEqual(before);
    if (upgraded.kind === 'left-out') throw new Error(upgraded.reason);
    expect(upgraded.value.opsetImport[0]?.version).toBe(BigInt(Math.max(opset, target)));
    expect(largestDifference(await runOnnx(model), await runOnnx(upgraded.value))).toBeLessThan(1e-6);
  });

  test('Upsample by an attribute', async () => {
    const model = oldModel({ name: 'Upsample', opset: 8, op: 'Upsample', shape: [1, 2, 3, 3] });
    const scales = create(AttributeProtoSchema, {
      name: 'scales',
      type: AttributeProto_AttributeType.FLOATS,
      floats: [1, 1, 2, 2],
    });
    model.graph?.node[0]?.attribute.push(scales);
    for (const target of [9, 10, 11, 13]) {
      const upgraded = upgradeOpset(model, target);
      if (upgraded.kind === 'left-out') throw new Error(upgraded.reason);
      expect(largestDifference(await runOnnx(model), await runOnnx(upgraded.value))).toBeLessThan(1e-6);
    }
  });

  test('a newer model is given back as it is', () => {
    const model = oldModel({ name: 'new', opset: 17, op: 'Softmax', shape: [2, 3] });
    expect(upgradeOpset(model, 13)).toEqual({ kind: 'made', value: model });
  });

  test.each([
    [
      'an operator that is not known',
      { op: 'Affine', opset: 8 },
      'operator Affine ("y") is not known to mean the same',
    ],
    [
      'normalising each place',
      { op: 'BatchNormalization', opset: 8, attributes: { spatial: 0 } },
      'normalises each place by itself',
    ],
    ['a mask that is read', { op: 'Dropout', opset: 8, outputs: ['z', 'y'] }, 'gives its mask'],
    [
      'a picture that may shrink',
      { op: 'Resize', opset: 10, weights: { s: { shape: [2], values: [1, 0.5] } }, inputs: ['s'] },
      'may shrink its input',
    ],
    ['a scan over a batch', { op: 'Scan', opset: 8 }, 'runs over a batch'],
    [
      'padding by itself',
      { op: 'ConvTranspose', opset: 10, attributes: { auto_pad: 'SAME_UPPER' } },
      'pads by itself',
    ],
    ['an opset from before', { op: 'Relu', opset: 6 }, 'opsets before 7 are not known here'],
  ] as readonly (readonly [string, Partial<OldGraph> & Pick<OldGraph, 'op' | 'opset'>, string])[])(
    'refuses %s, and names it',
    (_, graph, reason) => {
      const upgraded = upgradeOpset(oldModel({ name: 'refused', shape: [2, 3], ...graph }), 13);
      expect(upgraded).toMatchObject({ kind: 'left-out', reason: expect.stringContaining(reason) });
    },
  );
});
