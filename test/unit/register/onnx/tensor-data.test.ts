import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import {
  TensorProto_DataLocation,
  TensorProto_DataType,
  TensorProtoSchema,
} from '../../../../register/src/onnx/generated/onnx_pb.ts';
import {
  float32Tensor,
  int64Tensor,
  makeTensor,
  readFloats,
  readIntegers,
  readTensor,
} from '../../../../register/src/onnx/tensor-data.ts';

const { FLOAT, FLOAT16, BFLOAT16, DOUBLE, INT8, INT32, INT64, UINT32, UINT64, BOOL, STRING, INT4 } =
  TensorProto_DataType;

describe('tensors of a file', () => {
  test.each([
    ['float_data', { dataType: FLOAT, floatData: [1.5, -2] }, [1.5, -2]],
    ['double_data', { dataType: DOUBLE, doubleData: [0.1, 3] }, [0.1, 3]],
    ['int32_data of int8', { dataType: INT8, int32Data: [-128, 127] }, [-128, 127]],
    ['int32_data of int32', { dataType: INT32, int32Data: [-5, 6] }, [-5, 6]],
    ['int32_data of booleans', { dataType: BOOL, int32Data: [0, 1] }, [0, 1]],
    ['int64_data', { dataType: INT64, int64Data: [-7n, 8n] }, [-7n, 8n]],
    ['uint64_data of uint32', { dataType: UINT32, uint64Data: [7n, 4_294_967_295n] }, [7, 4_294_967_295]],
    ['uint64_data of uint64', { dataType: UINT64, uint64Data: [7n, 2n ** 64n - 1n] }, [7n, 2n ** 64n - 1n]],
    ['fp16 bits in int32_data', { dataType: FLOAT16, int32Data: [0x3c00, 0xc000] }, [0x3c00, 0xc000]],
  ])('reads %s', (_, fields, expected) => {
    const { shape, values } = readTensor(create(TensorProtoSchema, { name: 't', dims: [2n], ...fields }));
    expect(shape).toEqual([2]);
    expect([...values]).toEqual(expected);
  });

  test('reads raw bytes that do not lie on a multiple of the element size', () => {
    const { rawData } = float32Tensor('t', [2], [1.25, -3]);
    const file = Buffer.concat([Uint8Array.of(9), rawData]);
    const tensor = create(TensorProtoSchema, {
      name: 't',
      dims: [2n],
      dataType: FLOAT,
      rawData: file.subarray(1),
    });
    expect([...readTensor(tensor).values]).toEqual([1.25, -3]);
  });

  test('a scalar has one element and an axis of size 0 none', () => {
    expect([...readTensor(float32Tensor('t', [], [4])).values]).toEqual([4]);
    expect([...readTensor(float32Tensor('t', [3, 0], [])).values]).toEqual([]);
  });

  test('reads floats of every width as fp32 and integers of every width as numbers', () => {
    const half = makeTensor('t', FLOAT16, [2], Uint16Array.of(0x3c00, 0x8001));
    expect([...(readFloats(half) ?? [])]).toEqual([1, -(2 ** -24)]);
    const brain = makeTensor('t', BFLOAT16, [2], Uint16Array.of(0x3fc0, 0xc000));
    expect([...(readFloats(brain) ?? [])]).toEqual([1.5, -2]);
    expect(readFloats(int64Tensor('t', [1], [1]))).toBeUndefined();
    expect(readIntegers(int64Tensor('t', [2], [-1, 2n ** 63n - 1n]))).toEqual([-1, 2 ** 63]);
    expect(readIntegers(half)).toBeUndefined();
  });

  test.each([
    [
      'too few bytes',
      { dims: [3n], dataType: FLOAT, rawData: new Uint8Array(8) },
      'expected 12 bytes for FLOAT [3], found 8',
    ],
    [
      'too many elements',
      { dims: [1n], dataType: FLOAT, floatData: [1, 2] },
      'expected 1 elements for [1], found 2',
    ],
    ['a negative size', { dims: [-2n], dataType: FLOAT }, 'expected a shape of sizes from 0, found [-2]'],
    ['text', { dims: [1n], dataType: STRING }, 'found STRING'],
    ['half a byte an element', { dims: [2n], dataType: INT4, rawData: new Uint8Array(1) }, 'found INT4'],
    ['an unknown kind', { dims: [1n], dataType: 99 }, 'found number 99'],
    [
      'data in another file',
      { dims: [1n], dataType: FLOAT, dataLocation: TensorProto_DataLocation.EXTERNAL },
      'found a reference to another file',
    ],
  ])('refuses %s', (_, fields, message) => {
    const tensor = create(TensorProtoSchema, { name: 'w', ...fields });
    expect(() => readTensor(tensor)).toThrow(expect.objectContaining({ code: 'MESH_BAD_MODEL' }));
    expect(() => readTensor(tensor)).toThrow(message);
    expect(() => readTensor(tensor)).toThrow('"w"');
  });
});
