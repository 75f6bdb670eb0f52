import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { checkGolden, parseGolden } from '@nearfar/core';
import { float32Tensor, type Tensor, type TensorSignature } from '@nearfar/protocol';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import type { ModelFiles } from '../../../client-sdk/src/engine/messages.ts';
import { signatureOrder } from '../../../client-sdk/src/engine/signature-order.ts';
import { readTfjsFiles } from '../../../client-sdk/src/engine/tfjs-files.ts';
import { loadGraph } from '../../../client-sdk/src/engine/tfjs-graph.ts';
import { loadLayers } from '../../../client-sdk/src/engine/tfjs-layers.ts';
import type { TfjsModel } from '../../../client-sdk/src/engine/tfjs-model.ts';
import { checkDatatypes, fromTfjs, toTfjs } from '../../../client-sdk/src/engine/tfjs-tensors.ts';

const repository = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const MOBILENET = repository('../shared/models/tfjs-mobilenet-v1-0.25');

type Files = ModelFiles['files'];

/** The files of a folder, `model.json` first, the others in any order. */
function filesOf(folder: string): Files {
  const read = (path: string) => ({ path, bytes: Uint8Array.from(readFileSync(`${folder}/${path}`)) });
  const others = readdirSync(folder).filter((name) => !/\.(json|txt|md)$/.test(name));
  return ['model.json', ...others.toReversed()].map(read);
}

const json = (value: unknown, path = 'model.json') => ({
  path,
  bytes: new TextEncoder().encode(JSON.stringify(value)),
});

const signature = (name: string, ...shape: number[]): TensorSignature => ({ name, datatype: 'FP32', shape });

/** Runs a model as the engine does; frees everything. */
async function run(model: TfjsModel, inputs: readonly Tensor[], names: readonly string[]): Promise<Tensor[]> {
  const given = inputs.map(toTfjs);
  const results = model.run(given);
  const outputs = await Promise.all(results.map((result, index) => fromTfjs(names[index] ?? '', result)));
  tf.dispose([given, [...results]]);
  return outputs;
}

/** A Keras model of one dense layer without activation: y = x · kernel. */
function dense(
  kernel: readonly number[],
  weights: object = {},
  data = Float32Array.from(kernel).buffer,
): Files {
  const model = {
    format: 'layers-model',
    modelTopology: {
      class_name: 'Sequential',
      config: {
        name: 'sequential',
        layers: [
          {
            class_name: 'Dense',
            config: {
              name: 'dense',
              units: 2,
              use_bias: false,
              batch_input_shape: [null, kernel.length / 2],
              dtype: 'float32',
            },
          },
        ],
      },
    },
    weightsManifest: [
      {
        paths: ['w'],
        weights: [{ name: 'dense/kernel', shape: [kernel.length / 2, 2], dtype: 'float32', ...weights }],
      },
    ],
  };
  return [json(model), { path: 'w', bytes: new Uint8Array(data) }];
}

const denseSpec = { inputs: [signature('x', -1, 2)], outputs: [signature('y', -1, 2)] };

beforeAll(async () => {
  await tf.setBackend('cpu');
});

describe('the files of a tfjs model', () => {
  test.each([
    ['a graph', { format: 'graph-model', modelTopology: { node: [] } }, 'graph'],
    ['layers', { format: 'layers-model', modelTopology: { class_name: 'Model', config: {} } }, 'layers'],
    [
      'layers of an early converter',
      { modelTopology: { model_config: {}, backend: 'tensorflow' } },
      'layers',
    ],
    ['a graph of an early converter', { modelTopology: { node: [] } }, 'graph'],
  ])('tell that it is %s', (_, model, kind) => {
    expect(readTfjsFiles({ files: [json({ ...model, weightsManifest: [] })] }).kind).toBe(kind);
  });

  test('are joined by their paths, in whatever order they came', () => {
    const files = [
      json({
        format: 'graph-model',
        modelTopology: {},
        weightsManifest: [{ paths: ['a', 'b'], weights: [] }],
      }),
      { path: 'b', bytes: Uint8Array.of(2) },
      { path: 'a', bytes: Uint8Array.of(0, 1).subarray(1) },
    ];
    const { weightData } = readTfjsFiles({ files }).artifacts;
    expect([weightData].flat().map((part) => new Uint8Array(part as ArrayBuffer))).toEqual([
      Uint8Array.of(1),
      Uint8Array.of(2),
    ]);
  });

  test.each([
    ['text', { path: 'model.json', bytes: new TextEncoder().encode('no') }, 'to be the JSON of a tfjs model'],
    ['other JSON', json({ weights: 1 }), 'to have modelTopology and weightsManifest'],
    ['JSON null', json(null), 'to have modelTopology and weightsManifest'],
    [
      'a model without its weights',
      json({ modelTopology: {}, weightsManifest: [{ paths: ['group1-shard1of1'], weights: [] }] }),
      'The weights "group1-shard1of1" of model.json are missing',
    ],
  ])('that are %s are refused by name', (_, file, complaint) => {
    expect(() => readTfjsFiles({ files: [file] })).toThrow(
      expect.objectContaining({ code: 'MESH_VARIANT_FAILED', message: expect.stringContaining(complaint) }),
    );
  });
});

describe('the tensors of a signature', () => {
  const named = [signature('x'), signature('z')];

  test('are found by name where the model knows them all', () => {
    expect(signatureOrder(named, ['z', 'x'], 'inputs')).toEqual([1, 0]);
  });

  test('are found by position where it does not', () => {
    expect(signatureOrder(named, ['input_1', 'x'], 'inputs')).toEqual([0, 1]);
  });

  test('in another number than the model has are refused', () => {
    expect(() => signatureOrder(named, ['input_1'], 'inputs')).toThrow(
      expect.objectContaining({
        code: 'MESH_VARIANT_FAILED',
        message: 'Expected the tfjs model to have 2 inputs (x, z), found 1 (input_1)',
      }),
    );
  });
});

describe('a layers model', () => {
  test('gives its output under the name that the variant has for it', async () => {
    const { artifacts } = readTfjsFiles({ files: dense([1, 2, 3, 4]) });
    const model = await loadLayers(artifacts, denseSpec);
    const [output] = await run(model, [float32Tensor('x', [1, 2], Float32Array.of(1, 10))], ['y']);
    expect(output).toEqual(float32Tensor('y', [1, 2], Float32Array.of(31, 42)));
    model.dispose();
  });

  test('may have quantised weights', async () => {
    const weights = { quantization: { dtype: 'uint8', min: 1, scale: 0.5 } };
    const { artifacts } = readTfjsFiles({
      files: dense([1, 2, 3, 4], weights, Uint8Array.of(0, 2, 4, 6).buffer),
    });
    const model = await loadLayers(artifacts, denseSpec);
    const [output] = await run(model, [float32Tensor('x', [1, 2], Float32Array.of(1, 10))], ['y']);
    expect(output).toEqual(float32Tensor('y', [1, 2], Float32Array.of(31, 42)));
    model.dispose();
  });

  test('with another number of inputs is refused and leaves nothing behind', async () => {
    const { artifacts } = readTfjsFiles({ files: dense([1, 2, 3, 4]) });
    const { numTensors } = tf.memory();
    const inputs = [...denseSpec.inputs, signature('mask', -1, 2)];
    await expect(loadLayers(artifacts, { ...denseSpec, inputs })).rejects.toMatchObject({
      code: 'MESH_VARIANT_FAILED',
      message: expect.stringContaining('2 inputs (x, mask), found 1'),
    });
    expect(tf.memory().numTensors).toBe(numTensors);
  });

  test('is gone with all its weights when it is disposed of', async () => {
    const { numTensors } = tf.memory();
    const model = await loadLayers(readTfjsFiles({ files: dense([1, 2, 3, 4]) }).artifacts, denseSpec);
    await run(model, [float32Tensor('x', [1, 2], new Float32Array(2))], ['y']);
    model.dispose();
    expect(tf.memory().numTensors).toBe(numTensors);
  });

  test.skipIf(!existsSync(MOBILENET))(
    'of 55 files without extensions loads and gives probabilities (skipped where ../shared/models is not there)',
    { timeout: 60_000 },
    async () => {
      const { kind, artifacts } = readTfjsFiles({ files: filesOf(MOBILENET) });
      expect(kind).toBe('layers');
      const model = await loadLayers(artifacts, {
        inputs: [signature('image', -1, 224, 224, 3)],
        outputs: [signature('probabilities', -1, 1000)],
      });
      const image = float32Tensor('image', [1, 224, 224, 3], new Float32Array(224 * 224 * 3));
      const [output] = await run(model, [image], ['probabilities']);
      const values = new Float32Array(output?.data.buffer ?? new ArrayBuffer(0));
      expect(output?.shape).toEqual([1, 1000]);
      expect(values.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 3);
      model.dispose();
    },
  );
});

describe('a graph model', () => {
  test('of the samples gives the golden outputs', async () => {
    const spec = { variant: 'tiny-fp32-tfjs', model: 'tiny' };
    const golden = parseGolden(readFileSync(repository('models/digits/golden.json')), spec);
    const [input] = golden.inputs;
    const [output] = golden.outputs;
    const { kind, artifacts } = readTfjsFiles({ files: filesOf(repository('models/digits/tiny-tfjs')) });
    expect(kind).toBe('graph');
    const model = await loadGraph(artifacts, {
      inputs: [signature(input?.name ?? '', -1, ...(input?.shape.slice(1) ?? []))],
      outputs: [signature(output?.name ?? '', -1, 10)],
    });
    checkGolden(golden, await run(model, golden.inputs, [output?.name ?? '']), 1e-3);
    model.dispose();
  });
});

describe('the tensors of tfjs', () => {
  test.each<[Tensor['datatype'], ArrayBufferView]>([
    ['FP32', Float32Array.of(-0.5, 2)],
    ['INT32', Int32Array.of(-7, 2_147_483_647)],
    ['BOOL', Uint8Array.of(0, 1)],
  ])('may be %s', async (datatype, values) => {
    const data = new Uint8Array(values.buffer);
    const inside = toTfjs({ name: 'x', datatype, shape: [2], data });
    expect(await fromTfjs('y', inside)).toEqual({ name: 'y', datatype, shape: [2], data });
    inside.dispose();
  });

  test('have no other datatypes, which is told when a model is loaded', () => {
    expect(() => checkDatatypes([{ ...signature('sr'), datatype: 'INT64' }])).toThrow(
      expect.objectContaining({
        code: 'MESH_VARIANT_FAILED',
        message: 'Expected "sr" to be FP32, INT32, BOOL, the datatypes of tfjs, found INT64',
      }),
    );
    expect(() => toTfjs({ name: 'x', datatype: 'INT64', shape: [1], data: new Uint8Array(8) })).toThrow(
      expect.objectContaining({ code: 'MESH_BAD_TENSOR' }),
    );
  });
});
