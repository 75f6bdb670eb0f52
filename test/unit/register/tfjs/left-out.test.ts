import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type ModelProto,
  NodeProtoSchema,
  TensorProto_DataType,
} from '../../../../register/src/onnx/generated/onnx_pb.ts';
import { makeNode } from '../../../../register/src/onnx/nodes.ts';
import { makeTensor } from '../../../../register/src/onnx/tensor-data.ts';
import { makeTfjs } from '../../../../register/src/tfjs/make-tfjs.ts';
import { TFJS_OPERATORS } from '../../../../register/src/tfjs/operators.ts';
import { onnxModel, type SmallGraph, tensorInfo } from '../../../support/tfjs/build-onnx.ts';
import { graph, node, PICTURE } from '../../../support/tfjs/graphs/graph.ts';

const MORE = ' (docs/variants.md lists what is converted)';
const WEIGHTS = { weights: { w: [4, 4, 3, 3], b: [4] } } as const;

function reasonOf(small: SmallGraph, change: (model: ModelProto) => void = () => undefined): string {
  const model = onnxModel(small);
  change(model);
  const made = makeTfjs(model);
  if (made.kind === 'made') throw new Error('Expected a reason, got a model');
  expect(made.reason.endsWith(MORE)).toBe(true);
  return made.reason.slice(0, -MORE.length);
}

describe('says why a model is left out', () => {
  test('names every operator that is not converted, with how often it is used', () => {
    const nodes = [node('Sin', 'x', {}, 'a'), node('Cos', 'a', {}, 'b'), node('Sin', 'b')];
    expect(reasonOf(graph('', ['N', 4], nodes))).toBe('operators that are not converted: Sin × 2, Cos × 1');
  });

  test('names operators of other domains with them, and those inside of branches', () => {
    const reason = reasonOf(graph('', ['N', 4], [node('If', 'x')]), ({ graph: outer }) => {
      const [branch] = outer?.node ?? [];
      const inside = create(NodeProtoSchema, { opType: 'FusedConv', domain: 'com.microsoft', output: ['z'] });
      branch?.attribute.push({
        ...makeNode('If', [], [], { then_branch: 'graph' }).attribute[0],
        g: { ...outer, node: [inside] },
      } as never);
    });
    expect(reason).toBe('operators that are not converted: If × 1, com.microsoft.FusedConv × 1');
  });

  test('does not mind operators that no output needs', () => {
    const model = onnxModel(graph('', ['N', 4], [node('Sin', 'x', {}, 'unused'), node('Relu', 'x')]));
    expect(makeTfjs(model).kind).toBe('made');
  });

  const LIMITS: readonly (readonly [string, SmallGraph, string])[] = [
    [
      'a convolution of groups',
      graph('', PICTURE, [node('Conv', 'x w', { group: 2 })], { weights: { w: [4, 2, 3, 3] } }),
      'Conv "y": expected group 1, or as many groups as channels, found 2 groups of 4 channels',
    ],
    [
      'a convolution of one dimension',
      graph('', ['N', 4, 9], [node('Conv', 'x w')], { weights: { w: [4, 4, 3] } }),
      'Conv "y": expected a value [batch, channels, height, width] with known channels, found [N, 4, 9]',
    ],
    [
      'weights that are computed',
      graph('', PICTURE, [node('Conv', 'x x')]),
      'Conv "y": expected input 1 to be constant, found a value that is computed',
    ],
    [
      'channels that are not known',
      graph('', ['N', 'C', 7, 8], [node('Conv', 'x w')], WEIGHTS),
      'Conv "y": expected a value [batch, channels, height, width] with known channels, found [N, C, 7, 8]',
    ],
    [
      'indices of a MaxPool',
      graph('', PICTURE, [node('MaxPool', 'x', { kernel_shape: [2, 2] }, 'y i')], { outputs: ['y', 'i'] }),
      'MaxPool "y": expected one output to be read, found "i" as well',
    ],
    [
      'padding by reflection',
      graph('', PICTURE, [node('Pad', 'x pads', { mode: 'reflect' })], {
        integers: { pads: [0, 0, 1, 1, 0, 0, 1, 1] },
      }),
      'Pad "y": expected mode "constant", found "reflect"',
    ],
    [
      'two free axes in a reshape',
      graph('', ['N', 4, 'H', 6], [node('Reshape', 'x shape')], { integers: { shape: [0, 24, -1] } }),
      'output "y": expected at most one free axis in a reshape, found [N, 24, H]',
    ],
    [
      'a mean with padding of a free size',
      graph(
        '',
        ['N', 4, 'H', 8],
        [node('AveragePool', 'x', { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] })],
      ),
      'AveragePool "y": expected a known size for a mean with this padding, found a free axis',
    ],
    [
      'a kernel that would grow without bounds',
      graph(
        '',
        ['N', 4, 'H', 'W'],
        [node('Conv', 'x w', { strides: [2, 2], dilations: [1e6, 1e6] })],
        WEIGHTS,
      ),
      'Conv "y": expected constants of at most 16777216 elements, found 64000064000016',
    ],
    [
      'a name that nothing gives',
      graph('', PICTURE, [node('Relu', 'nothing')]),
      'Relu "y": expected inputs that are there, found nothing that gives "nothing"',
    ],
    [
      'an old opset',
      graph('', PICTURE, [node('Relu', 'x')], { opset: 6 }),
      'expected opset 7 or newer, found 6',
    ],
  ];

  test.for(LIMITS)('%s', ([, small, reason]) => {
    expect(reasonOf(small)).toBe(reason);
  });

  test('inputs that are no fp32 tensors', () => {
    const reason = reasonOf(graph('', ['N', 4], [node('Relu', 'x')]), (model) => {
      model.graph?.input.splice(0, 1, tensorInfo('x', ['N', 4], TensorProto_DataType.INT64));
    });
    expect(reason).toBe('input "x": expected FLOAT, found INT64');
  });

  test('fp16 models', () => {
    const reason = reasonOf(graph('', ['N', 4], [node('Add', 'x h')]), (model) => {
      model.graph?.initializer.push(makeTensor('h', TensorProto_DataType.FLOAT16, [4], new Uint16Array(4)));
    });
    expect(reason).toBe('Add "y": expected fp32 numbers, found FLOAT16');
  });

  test('int8 models', () => {
    const nodes = [node('QuantizeLinear', 'x s', {}, 'q'), node('DequantizeLinear', 'q s')];
    expect(reasonOf(graph('', ['N', 4], nodes, { weights: { s: [] } }))).toBe(
      'operators that are not converted: DequantizeLinear × 1, QuantizeLinear × 1',
    );
  });
});

describe('whatever is in an ONNX model', () => {
  const base = graph(
    '',
    ['N', 4, 7, 8],
    [
      node('Conv', 'x w b', { pads: [1, 1, 1, 1], strides: [2, 2], dilations: [1, 1], group: 1 }, 'c'),
      node('BatchNormalization', 'c b b b b', {}, 'n'),
      node('Clip', 'n', {}, 'r'),
      node('AveragePool', 'r', { kernel_shape: [2, 2], pads: [0, 1, 1, 0], ceil_mode: 1 }, 'p'),
      node('Transpose', 'p', { perm: [0, 2, 3, 1] }, 't'),
      node('Slice', 't', { starts: [1], ends: [3], axes: [3] }, 's'),
      node('Reshape', 's shape', {}, 'f'),
      node('Softmax', 'f', { axis: 1 }, 'm'),
      node('Gemm', 'm g', { transB: 1 }, 'q'),
      node('Unsqueeze', 'q', { axes: [0] }, 'u'),
      node('Concat', 'u u', { axis: 1 }),
    ],
    { opset: 9, weights: { w: [4, 4, 3, 3], b: [4], g: [3, 20] }, integers: { shape: [-1, 20] } },
  );
  const number = fc.oneof(fc.integer({ min: -3, max: 9 }), fc.constantFrom(-1, 0, 2 ** 31, 1e15));

  test('a model or a reason comes out, never an error', () => {
    fc.assert(
      fc.property(
        fc.nat(10),
        fc.nat(6),
        fc.array(number, { maxLength: 6 }),
        fc.constantFrom('attribute', 'inputs', 'operator', 'weights', 'shape'),
        (at, which, numbers, what) => {
          const model = onnxModel(base);
          const inner = model.graph;
          const target = inner?.node[at];
          const attribute = target?.attribute[which % Math.max(1, target.attribute.length)];
          const tensor = inner?.initializer[which % inner.initializer.length];
          if (what === 'attribute' && attribute !== undefined) {
            attribute.ints = numbers.map(BigInt);
            attribute.i = BigInt(numbers[0] ?? 0);
          }
          if (what === 'inputs' && target !== undefined) target.input = target.input.slice(0, which);
          if (what === 'operator' && target !== undefined)
            target.opType = TFJS_OPERATORS[which * 7]?.operator ?? 'Relu';
          if (what === 'weights' && tensor !== undefined) tensor.dims = numbers.map(BigInt);
          if (what === 'shape') {
            inner?.input.splice(
              0,
              1,
              tensorInfo(
                'x',
                numbers.map((size) => (size > 0 ? size : 'free')),
              ),
            );
          }
          expect(['made', 'left-out']).toContain(makeTfjs(model).kind);
        },
      ),
      { numRuns: 400 },
    );
  });
});
