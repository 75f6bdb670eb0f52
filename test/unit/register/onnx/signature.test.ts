import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import {
  TensorProto_DataType,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from '../../../../register/src/onnx/generated/onnx_pb.ts';
import { makeNode } from '../../../../register/src/onnx/nodes.ts';
import { signatureOf } from '../../../../register/src/onnx/signature.ts';
import { onnxModel, tensorInfo } from '../../../support/tfjs/build-onnx.ts';

function modelWith(...input: ValueInfoProto[]) {
  const model = onnxModel({
    name: 'sum',
    inputs: { x: ['N', 4] },
    weights: { w: [4] },
    nodes: [makeNode('Add', ['x', 'w'], ['y'])],
    outputs: ['y'],
  });
  model.graph!.output = [tensorInfo('y', ['N', 4])];
  model.graph!.input.push(...input);
  return model;
}

describe('the signature of a model', () => {
  test('symbolic, unnamed, absent and non-positive sizes are free; a scalar has none', () => {
    const unnamed = tensorInfo('u', ['', 0, -1, 3]);
    const absent = create(ValueInfoProtoSchema, {
      name: 'a',
      type: {
        value: { case: 'tensorType', value: { elemType: TensorProto_DataType.INT64, shape: { dim: [{}] } } },
      },
    });
    const { inputs, outputs } = signatureOf(
      modelWith(unnamed, absent, tensorInfo('sr', [], TensorProto_DataType.INT64)),
    );
    expect(inputs).toEqual([
      { name: 'x', datatype: 'FP32', shape: [-1, 4] },
      { name: 'u', datatype: 'FP32', shape: [-1, -1, -1, 3] },
      { name: 'a', datatype: 'INT64', shape: [-1] },
      { name: 'sr', datatype: 'INT64', shape: [] },
    ]);
    expect(outputs).toEqual([{ name: 'y', datatype: 'FP32', shape: [-1, 4] }]);
  });

  test('an initialiser that is listed as an input is none', () => {
    const { inputs } = signatureOf(modelWith(tensorInfo('w', [4])));
    expect(inputs.map(({ name }) => name)).toEqual(['x']);
  });

  test.each([
    ['of unknown rank', tensorInfo('v'), 'Expected input "v" to say how many dimensions it has'],
    [
      'that is a sequence',
      create(ValueInfoProtoSchema, { name: 'v', type: { value: { case: 'sequenceType', value: {} } } }),
      'Expected input "v" to be a tensor, found sequence',
    ],
    ['without a type', create(ValueInfoProtoSchema, { name: 'v' }), 'found no type'],
    ['of complex numbers', tensorInfo('v', [1], TensorProto_DataType.COMPLEX64), 'found COMPLEX64'],
    ['of too many dimensions', tensorInfo('v', Array(17).fill(1)), 'at most 16 dimensions, found 17'],
  ])('an input %s is refused', (_, info, message) => {
    expect(() => signatureOf(modelWith(info))).toThrow(expect.objectContaining({ code: 'MESH_BAD_MODEL' }));
    expect(() => signatureOf(modelWith(info))).toThrow(message);
  });
});
