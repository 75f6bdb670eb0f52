import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  TensorProto_DataType,
} from '../../../../register/src/onnx/generated/onnx_pb.ts';
import { makeFp16 } from '../../../../register/src/onnx/make-fp16.ts';
import { makeNode } from '../../../../register/src/onnx/nodes.ts';
import { float32Tensor, int64Tensor, readTensor } from '../../../../register/src/onnx/tensor-data.ts';
import { onnxModel, type SmallGraph, tensorInfo } from '../../../support/tfjs/build-onnx.ts';
import { OPERATOR_GRAPHS } from '../../../support/tfjs/operator-graphs.ts';
import { largestDifference, runOnnx } from './run-onnx.ts';

const { FLOAT, FLOAT16, INT64, BOOL } = TensorProto_DataType;

/** fp16 keeps 11 bits: 5e-4 of each number, a few times that after a few operations. */
const TOLERANCE = 5e-3;

function made(model: ModelProto): ModelProto {
  const before = toBinary(ModelProtoSchema, model);
  const result = makeFp16(model);
  expect(toBinary(ModelProtoSchema, model), 'the model itself').toEqual(before);
  if (result.kind === 'left-out') throw new Error(result.reason);
  return result.value;
}

function nodesOf(model: ModelProto, opType: string): NodeProto[] {
  return (model.graph?.node ?? []).filter((node) => node.opType === opType);
}

function graphAttribute(name: string, g: GraphProto) {
  return create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.GRAPH, g });
}

function dividesByComputed({ nodes, weights = {} }: SmallGraph): boolean {
  return nodes.some(({ opType, input }) => opType === 'Div' && !((input[1] ?? '') in weights));
}

describe('fp16', () => {
  const graphs = Object.values(OPERATOR_GRAPHS)
    .flat()
    .map((graph) => [graph.name, graph] as const);

  test.each(graphs)('%s gives nearly what it gives in fp32, or is left out', async (_, graph) => {
    const model = onnxModel(graph);
    const result = makeFp16(model);
    if (result.kind === 'left-out') {
      expect(result.reason).toMatch(/no operator|weights ".*" of \w+ reach/);
      return;
    }
    // A divisor near 0 makes any rounding large.
    const tolerance = dividesByComputed(graph) ? 0.5 : TOLERANCE;
    expect(largestDifference(await runOnnx(model), await runOnnx(result.value))).toBeLessThan(tolerance);
  });

  test('inputs and outputs stay fp32, weights and value_info become fp16', async () => {
    const model = onnxModel({
      name: 'chain',
      inputs: { x: ['N', 4] },
      weights: { w: [4, 3], v: [3, 2] },
      nodes: [
        makeNode('MatMul', ['x', 'w'], ['h']),
        makeNode('Relu', ['h'], ['r']),
        makeNode('MatMul', ['r', 'v'], ['y']),
      ],
      outputs: ['y'],
    });
    model.graph?.valueInfo.push(tensorInfo('h', ['N', 3]));
    const half = made(model);
    expect(half.graph?.initializer.map(({ dataType }) => dataType)).toEqual([FLOAT16, FLOAT16]);
    expect(half.graph?.input).toEqual(model.graph?.input);
    expect(half.graph?.output).toEqual(model.graph?.output);
    expect(half.graph?.valueInfo[0]?.type?.value).toMatchObject({ value: { elemType: FLOAT16 } });
    // One cast in and one out: nothing between goes back to fp32.
    expect(nodesOf(half, 'Cast')).toHaveLength(2);
    expect(largestDifference(await runOnnx(model), await runOnnx(half))).toBeLessThan(TOLERANCE);
  });

  test('a weight beyond its range leaves the model out, with the name and the number', () => {
    const model = onnxModel({
      name: 'large',
      inputs: { x: ['N', 2] },
      weights: { w: { shape: [2, 1], values: [1, -70_000] } },
      nodes: [makeNode('MatMul', ['x', 'w'], ['y'])],
      outputs: ['y'],
    });
    expect(makeFp16(model)).toEqual({
      kind: 'left-out',
      reason: 'weights "w" of MatMul reach -70000, fp16 ends at 65504',
    });
  });

  test('a bound beyond its range keeps that node in fp32', async () => {
    const model = onnxModel({
      name: 'bound',
      inputs: { x: ['N', 4] },
      weights: { w: [4, 3], low: { shape: [], values: [0] }, high: { shape: [], values: [3.4e38] } },
      nodes: [makeNode('MatMul', ['x', 'w'], ['h']), makeNode('Clip', ['h', 'low', 'high'], ['y'])],
      outputs: ['y'],
    });
    const half = made(model);
    expect(nodesOf(half, 'Clip')[0]?.input).toEqual(['h', 'low', 'high']);
    expect(largestDifference(await runOnnx(model), await runOnnx(half))).toBeLessThan(TOLERANCE);
  });

  test('tiny weights become subnormal or zero, as IEEE 754 has it', () => {
    const model = onnxModel({
      name: 'tiny',
      inputs: { x: ['N', 3] },
      weights: { w: { shape: [3, 1], values: [1e-9, 2 ** -24, -1e-9] } },
      nodes: [makeNode('MatMul', ['x', 'w'], ['y'])],
      outputs: ['y'],
    });
    const [weights] = made(model).graph?.initializer ?? [];
    expect(weights && [...readTensor(weights).values]).toEqual([0, 1, 0x8000]);
  });

  test('sizes that are computed as numbers stay exact: fp16 counts to 2,048', async () => {
    // 3,001 rows; (rows + 0.0) · 1 goes back to an integer and shapes the result.
    const model = onnxModel({
      name: 'sizes',
      inputs: { x: [3001, 2] },
      weights: { one: { shape: [], values: [1] }, w: [2, 2] },
      integers: { first: 0, two: [2] },
      nodes: [
        makeNode('Shape', ['x'], ['shape']),
        makeNode('Gather', ['shape', 'first'], ['rows']),
        makeNode('Cast', ['rows'], ['rows_f'], { to: FLOAT }),
        makeNode('Mul', ['rows_f', 'one'], ['same_f']),
        makeNode('Cast', ['same_f'], ['same'], { to: INT64 }),
        makeNode('Unsqueeze', ['same', 'zero'], ['same_list']),
        makeNode('Concat', ['same_list', 'two'], ['target'], { axis: 0 }),
        makeNode('MatMul', ['x', 'w'], ['h']),
        makeNode('Reshape', ['h', 'target'], ['y']),
      ],
      outputs: ['y'],
    });
    model.graph?.initializer.push(int64Tensor('zero', [1], [0]));
    const half = made(model);
    expect(nodesOf(half, 'Mul')[0]?.input).toEqual(['rows_f', 'one']);
    expect(largestDifference(await runOnnx(model), await runOnnx(half))).toBeLessThan(TOLERANCE);
  });

  test('unknown operators and those that need fp32 keep their inputs', async () => {
    const model = onnxModel({
      name: 'topk',
      inputs: { x: ['N', 6] },
      weights: { w: [6, 6] },
      integers: { k: [3] },
      nodes: [
        makeNode('MatMul', ['x', 'w'], ['h']),
        makeNode('TopK', ['h', 'k'], ['best', 'places']),
        makeNode('Relu', ['best'], ['y']),
      ],
      outputs: ['y'],
    });
    const half = made(model);
    expect(nodesOf(half, 'TopK')[0]?.input).toEqual(['h', 'k']);
    expect(largestDifference(await runOnnx(model), await runOnnx(half))).toBeLessThan(TOLERANCE);

    const foreign = onnxModel({
      name: 'foreign',
      inputs: { x: ['N', 4] },
      nodes: [Object.assign(makeNode('Relu', ['x'], ['y']), { domain: 'com.example' })],
      outputs: ['y'],
    });
    expect(makeFp16(foreign)).toMatchObject({
      kind: 'left-out',
      reason: expect.stringContaining('no operator'),
    });
  });

  test('graphs inside compute in fp16 with weights from around them, and take and give fp32', async () => {
    const branch = (name: string, nodes: NodeProto[]): GraphProto =>
      create(GraphProtoSchema, { name, node: nodes, output: [tensorInfo(`${name}_y`, ['N', 3])] });
    const model = onnxModel({
      name: 'branches',
      inputs: { x: ['N', 4] },
      weights: { w: [4, 3], b: [3] },
      nodes: [
        makeNode('Relu', ['x'], ['r']),
        Object.assign(makeNode('If', ['flag'], ['y']), {
          attribute: [
            graphAttribute(
              'then_branch',
              branch('then', [
                makeNode('Constant', [], ['k'], { value: float32Tensor('', [3], [1, 2, 3]) }),
                makeNode('MatMul', ['r', 'w'], ['m']),
                makeNode('Add', ['m', 'k'], ['then_y']),
              ]),
            ),
            graphAttribute(
              'else_branch',
              branch('else', [
                makeNode('Gemm', ['r', 'w', 'b'], ['m']),
                makeNode('Identity', ['m'], ['else_y']),
              ]),
            ),
          ],
        }),
      ],
      outputs: ['y'],
    });
    model.graph?.input.push(tensorInfo('flag', [], BOOL));
    const half = made(model);
    expect(half.graph?.initializer.map(({ dataType }) => dataType)).toEqual([FLOAT16, FLOAT16]);
    for (const flag of [1, 0]) {
      const feeds = { flag: [flag] };
      expect(largestDifference(await runOnnx(model, feeds), await runOnnx(half, feeds))).toBeLessThan(
        TOLERANCE,
      );
    }
  });

  test('the body of a loop carries fp32 from turn to turn', async () => {
    const body = create(GraphProtoSchema, {
      name: 'body',
      input: [tensorInfo('turn', [], INT64), tensorInfo('go', [], BOOL), tensorInfo('state', ['N', 4])],
      output: [tensorInfo('go_on', [], BOOL), tensorInfo('next', ['N', 4])],
      node: [
        makeNode('Identity', ['go'], ['go_on']),
        makeNode('MatMul', ['state', 'w'], ['m']),
        makeNode('Tanh', ['m'], ['next']),
      ],
    });
    const model = onnxModel({
      name: 'loop',
      inputs: { x: ['N', 4] },
      weights: { w: [4, 4] },
      integers: { turns: 3 },
      nodes: [
        Object.assign(makeNode('Loop', ['turns', '', 'x'], ['y']), {
          attribute: [graphAttribute('body', body)],
        }),
      ],
      outputs: ['y'],
    });
    const half = made(model);
    expect(half.graph?.initializer.some(({ dataType }) => dataType === FLOAT16)).toBe(true);
    expect(largestDifference(await runOnnx(model), await runOnnx(half))).toBeLessThan(TOLERANCE);
  });

  test('opsets before 7 are left out', () => {
    const model = onnxModel({
      name: 'old',
      opset: 6,
      inputs: { x: [1] },
      nodes: [makeNode('Relu', ['x'], ['y'])],
      outputs: ['y'],
    });
    expect(makeFp16(model)).toEqual({
      kind: 'left-out',
      reason: 'fp16 needs opset 7 or newer, the model has 6',
    });
  });
});
