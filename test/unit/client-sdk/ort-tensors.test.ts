import { create, toBinary } from '@bufbuild/protobuf';
import type { Datatype, Tensor } from '@nearfar/protocol';
import { describe, expect, test } from 'vitest';
import { createOrtEngine } from '../../../client-sdk/src/engine/ort-web.ts';
import {
  ModelProtoSchema,
  TensorProto_DataType as Type,
} from '../../../register/src/onnx/generated/onnx_pb.ts';
import { variantSpec } from './builders.ts';

/** A model that gives its input `x` [2] as `y`. */
function identity(elemType: Type): Uint8Array<ArrayBuffer> {
  const value = (name: string) => ({
    name,
    type: {
      value: {
        case: 'tensorType' as const,
        value: { elemType, shape: { dim: [{ value: { case: 'dimValue' as const, value: 2n } }] } },
      },
    },
  });
  const model = create(ModelProtoSchema, {
    irVersion: 8n,
    opsetImport: [{ version: 17n }],
    graph: {
      name: 'identity',
      node: [{ opType: 'Identity', input: ['x'], output: ['y'] }],
      input: [value('x')],
      output: [value('y')],
    },
  });
  return toBinary(ModelProtoSchema, model);
}

const tensor = (datatype: Datatype, values: ArrayBufferView): Tensor => ({
  name: 'x',
  datatype,
  shape: [2],
  data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
});

async function engineWith(elemType: Type) {
  const engine = await createOrtEngine({ engine: 'ort-wasm', assetBase: undefined });
  await engine.load('a', { spec: variantSpec(), files: [{ path: 'a.onnx', bytes: identity(elemType) }] });
  return engine;
}

describe('onnxruntime-web', () => {
  test.each<[Datatype, Type, ArrayBufferView]>([
    ['BOOL', Type.BOOL, Uint8Array.of(0, 1)],
    ['UINT8', Type.UINT8, Uint8Array.of(7, 255)],
    ['INT8', Type.INT8, Int8Array.of(-7, 127)],
    ['UINT16', Type.UINT16, Uint16Array.of(7, 65_535)],
    ['INT16', Type.INT16, Int16Array.of(-7, 32_767)],
    ['UINT32', Type.UINT32, Uint32Array.of(7, 4_294_967_295)],
    ['INT32', Type.INT32, Int32Array.of(-7, 2_147_483_647)],
    ['UINT64', Type.UINT64, BigUint64Array.of(7n, 2n ** 63n)],
    ['INT64', Type.INT64, BigInt64Array.of(-7n, 2n ** 62n)],
    ['FP16', Type.FLOAT16, Uint16Array.of(0x3c00, 0xc000)],
    ['FP32', Type.FLOAT, Float32Array.of(-0.5, 1e30)],
    ['FP64', Type.DOUBLE, Float64Array.of(-0.1, 1e300)],
  ])('takes and gives %s', async (datatype, elemType, values) => {
    const engine = await engineWith(elemType);
    const input = tensor(datatype, values);
    expect(await engine.run('a', [input])).toEqual([{ ...input, name: 'y' }]);
    await engine.unload('a');
  });

  test('takes elements that are not aligned, as they lie in a message', async () => {
    const engine = await engineWith(Type.INT64);
    const message = new Uint8Array(17);
    message.set(new Uint8Array(BigInt64Array.of(1n, -2n).buffer), 1);
    const [output] = await engine.run('a', [tensor('INT64', message.subarray(1))]);
    expect(output?.data).toEqual(message.slice(1));
    await engine.unload('a');
  });

  test.each<[Datatype]>([['BF16'], ['BYTES']])('refuses %s, which it lacks, by name', async (datatype) => {
    const engine = await engineWith(Type.FLOAT);
    await expect(engine.run('a', [tensor(datatype, new Uint8Array(4))])).rejects.toMatchObject({
      code: 'MESH_BAD_TENSOR',
      message: `onnxruntime-web takes no ${datatype}, as input "x" is`,
    });
    await engine.unload('a');
  });
});
