import { readFile } from 'node:fs/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import type { SourceFiles } from '@nearfar/register';
import { describe, expect, test } from 'vitest';
import {
  type ModelProto,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
} from '../../../../register/src/onnx/generated/onnx_pb.ts';
import { makeNode } from '../../../../register/src/onnx/nodes.ts';
import { encodeOnnx, readOnnx } from '../../../../register/src/onnx/read-onnx.ts';
import { float32Tensor, makeTensor, readFloats } from '../../../../register/src/onnx/tensor-data.ts';
import { memoryFiles } from '../../../support/register/memory-files.ts';
import { onnxModel, type SmallGraph } from '../../../support/tfjs/build-onnx.ts';

const product = (): SmallGraph => ({
  name: 'product',
  inputs: { x: ['N', 4] },
  weights: { w: [4, 3] },
  nodes: [makeNode('MatMul', ['x', 'w'], ['y'])],
  outputs: ['y'],
});

function fileOf(model: ModelProto): Uint8Array {
  return toBinary(ModelProtoSchema, model);
}

async function read(bytes: Uint8Array | string, others: Record<string, Uint8Array> = {}) {
  return await readOnnx(memoryFiles({ 'models/m.onnx': bytes, ...others }), 'models/m.onnx');
}

/** A model whose weights `w` are in another file. */
function externalModel(entries: Readonly<Record<string, string>>): ModelProto {
  const model = onnxModel(product());
  const tensor = model.graph?.initializer[0] as TensorProto;
  tensor.rawData = new Uint8Array();
  tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
  tensor.externalData = Object.entries(entries).map(([key, value]) =>
    create(StringStringEntryProtoSchema, { key, value }),
  );
  return model;
}

const WEIGHTS = new Uint8Array(Float32Array.from({ length: 16 }, (_, index) => index).buffer);

describe('reading ONNX', () => {
  test('a model that is written and read is the same, byte for byte', async () => {
    const { model, hasExternalData } = await read(fileOf(onnxModel(product())));
    expect(hasExternalData).toBe(false);
    expect(encodeOnnx(model)).toEqual(fileOf(onnxModel(product())));
    expect(encodeOnnx(model)).toEqual(encodeOnnx(model));
  });

  test('fields of a later ONNX than this one are kept', async () => {
    const file = Buffer.concat([fileOf(onnxModel(product())), Uint8Array.of(0xfa, 0x3f, 3, 1, 2, 3)]);
    const { model } = await read(file);
    expect(Buffer.from(encodeOnnx(model)).includes(Buffer.of(0xfa, 0x3f, 3, 1, 2, 3))).toBe(true);
  });

  test('a file that is cut off anywhere is refused, and the error names it', async () => {
    const whole = await readFile(new URL('../../../../models/digits/tiny.onnx', import.meta.url));
    for (let tenth = 0; tenth < 10; tenth += 1) {
      const part = whole.subarray(0, Math.floor((whole.length * tenth) / 10));
      await expect(read(part), `${tenth} tenths`).rejects.toMatchObject({
        code: 'MESH_BAD_MODEL',
        message: expect.stringContaining('Bad model "models/m.onnx": expected'),
      });
    }
  });

  test('neither text nor a picture passes for a model', async () => {
    for (const content of [
      'a plain text file\n',
      '{"format": "graph-model"}',
      Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10),
    ]) {
      await expect(read(content)).rejects.toMatchObject({ code: 'MESH_BAD_MODEL' });
    }
  });

  test('graphs that are nested without end are refused, not run into', async () => {
    let bytes: Uint8Array = new Uint8Array();
    const field = (number: number, content: Uint8Array) => {
      const length: number[] = [];
      for (let rest = content.length; ; rest >>>= 7) {
        length.push(rest > 127 ? (rest & 127) | 128 : rest);
        if (rest <= 127) break;
      }
      return Buffer.concat([Uint8Array.of((number << 3) | 2, ...length), content]);
    };
    // graph: node (1) → attribute (5) → g (6)
    for (let depth = 0; depth < 5_000; depth += 1) bytes = field(1, field(5, field(6, bytes)));
    await expect(read(Buffer.concat([Uint8Array.of(8, 8), field(7, bytes)]))).rejects.toMatchObject({
      code: 'MESH_BAD_MODEL',
    });
  });

  test("a file that is not there is the files' own error", async () => {
    await expect(readOnnx(memoryFiles({}), 'none.onnx')).rejects.toMatchObject({ code: 'MESH_BAD_MANIFEST' });
  });

  test('a file of 3 GB is refused before it is read', async () => {
    const files: SourceFiles = {
      sizeOf: async () => 3e9,
      read: () => Promise.reject(new Error('read')),
      list: async () => [],
    };
    await expect(readOnnx(files, 'm.onnx')).rejects.toMatchObject({
      code: 'MESH_BAD_MODEL',
      message: expect.stringContaining('found 3000000000'),
    });
  });
});

describe('checking ONNX', () => {
  const cases: readonly (readonly [string, (model: ModelProto) => void, string])[] = [
    [
      'no opset',
      (model) => {
        model.opsetImport = [];
      },
      'expected "opset_import"',
    ],
    [
      'no input',
      (model) => {
        model.graph!.input = [];
      },
      'expected an input, found none',
    ],
    [
      'no output',
      (model) => {
        model.graph!.output = [];
      },
      'expected an output, found none',
    ],
    [
      'an output that nothing gives',
      (model) => {
        model.graph!.output[0]!.name = 'z';
      },
      'expected output "z"',
    ],
    [
      'a name that nothing gives',
      (model) => {
        model.graph!.node[0]!.input[1] = 'v';
      },
      'found "v", which nothing gives',
    ],
    [
      'fewer bytes than the shape needs',
      (model) => {
        model.graph!.initializer[0]!.rawData = new Uint8Array(40);
      },
      'initialiser "w": expected 48 bytes for FLOAT [4,3], found 40',
    ],
    [
      'weights that are not numbers',
      (model) => {
        model.graph!.initializer[0] = float32Tensor('w', [4, 3], Array(12).fill(Number.NaN));
      },
      'initialiser "w": expected numbers, found NaN in 12 of 12 elements',
    ],
    [
      'one weight that is infinite',
      (model) => {
        const values = Float32Array.from({ length: 12 }, (_, index) =>
          index === 5 ? Number.NEGATIVE_INFINITY : 1,
        );
        model.graph!.initializer[0] = float32Tensor('w', [4, 3], values);
      },
      'initialiser "w": expected finite weights for MatMul, found 1 of 12 infinite',
    ],
    [
      'NaN in an fp16 constant of an inner graph',
      (model) => {
        const value = makeTensor('', 10, [1], Uint16Array.of(0x7e00));
        const inner = create(ModelProtoSchema, {
          graph: { node: [makeNode('Constant', [], ['k'], { value })] },
        }).graph!;
        inner.output.push(model.graph!.output[0]!);
        inner.node.push(makeNode('Identity', ['k'], ['y']));
        const branch = makeNode('If', ['x'], ['y2'], {});
        branch.attribute.push(
          create(ModelProtoSchema, { graph: { node: [{ attribute: [{ name: 'then_branch', g: inner }] }] } })
            .graph!.node[0]!.attribute[0]!,
        );
        model.graph!.node.push(branch);
      },
      'constant "k": expected numbers, found NaN in 1 of 1 elements',
    ],
  ];

  test.each(cases)('refuses %s', async (_, spoil, message) => {
    const model = onnxModel(product());
    spoil(model);
    await expect(read(fileOf(model))).rejects.toMatchObject({
      code: 'MESH_BAD_MODEL',
      message: expect.stringContaining(message),
    });
  });

  test('infinities are right as bounds and in masks', async () => {
    const model = onnxModel({
      ...product(),
      weights: { mask: { shape: [4], values: [0, Number.NEGATIVE_INFINITY, 0, 0] } },
      nodes: [makeNode('Add', ['x', 'mask'], ['y'])],
    });
    await expect(read(fileOf(model))).resolves.toBeDefined();
  });
});

describe('external data', () => {
  test('is put into the model, from where the reference says', async () => {
    const file = fileOf(externalModel({ location: 'w.bin', offset: '16', length: '48' }));
    const { model, hasExternalData } = await read(file, { 'models/w.bin': WEIGHTS });
    expect(hasExternalData).toBe(true);
    const tensor = model.graph?.initializer[0] as TensorProto;
    expect([...(readFloats(tensor) ?? [])]).toEqual(Array.from({ length: 12 }, (_, index) => index + 4));
    expect((await read(encodeOnnx(model))).hasExternalData).toBe(false);
  });

  test("may leave out its length, and lie in a folder beside the model's", async () => {
    const file = fileOf(externalModel({ location: '../weights/w.bin' }));
    const { model } = await read(file, { 'weights/w.bin': WEIGHTS });
    expect(readFloats(model.graph?.initializer[0] as TensorProto)?.[11]).toBe(11);
  });

  test.each([
    '../../w.bin',
    '/etc/passwd',
    'a/../../../w.bin',
    'C:\\w.bin',
    '..\\..\\w.bin',
    'w\0.bin',
    '..',
  ])('outside the folder, as "%s", is refused before any file is looked at', async (location) => {
    const file = fileOf(externalModel({ location, length: '3000000000' }));
    const looked: string[] = [];
    const files: SourceFiles = {
      sizeOf: async (path) => {
        looked.push(path);
        return path === 'models/m.onnx' ? file.length : 3e9;
      },
      read: async (path) => {
        looked.push(path);
        return path === 'models/m.onnx' ? file : Promise.reject(new Error('read'));
      },
      list: async () => [],
    };
    await expect(readOnnx(files, 'models/m.onnx')).rejects.toMatchObject({
      code: 'MESH_BAD_MODEL',
      message: expect.stringContaining("inside the manifest's folder"),
    });
    expect(new Set(looked)).toEqual(new Set(['models/m.onnx']));
  });

  test.each([
    [{ location: 'w.bin', offset: '32' }, 'expected "models/w.bin" to have 80 bytes or more, found 64'],
    [{ location: 'w.bin', length: '12' }, 'expected 48 bytes for FLOAT [4,3], found a reference to 12'],
    [{ location: 'w.bin', offset: '-4' }, 'expected "offset" of its external data to be a whole number'],
    [{ location: 'w.bin', offset: '1e3' }, 'expected "offset"'],
    [{ location: 'v.bin' }, 'expected a file "models/v.bin"'],
    [{}, 'expected external data with a "location"'],
  ])('is refused for %o', async (entries, message) => {
    const file = fileOf(externalModel(entries as Record<string, string>));
    await expect(read(file, { 'models/w.bin': WEIGHTS })).rejects.toMatchObject({
      code: 'MESH_BAD_MODEL',
      message: expect.stringContaining(message),
    });
  });

  test('of more than an artifact may have is refused before it is read', async () => {
    const model = externalModel({ location: 'w.bin' });
    model.graph!.initializer[0]!.dims = [400_000_000n];
    const file = fileOf(model);
    await expect(read(file, { 'models/w.bin': WEIGHTS })).rejects.toMatchObject({
      code: 'MESH_BAD_MODEL',
      message: expect.stringContaining('bytes with all external data'),
    });
  });

  test('in a file of 3 GB is refused before it is read', async () => {
    const file = fileOf(externalModel({ location: 'w.bin' }));
    const files: SourceFiles = {
      sizeOf: async (path) => (path === 'models/m.onnx' ? file.length : 3e9),
      read: async (path) => (path === 'models/m.onnx' ? file : Promise.reject(new Error('read'))),
      list: async () => [],
    };
    await expect(readOnnx(files, 'models/m.onnx')).rejects.toMatchObject({
      code: 'MESH_BAD_MODEL',
      message: expect.stringContaining('bytes with all external data, found 3000000000'),
    });
  });
});
