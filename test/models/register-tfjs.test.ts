import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { fromBinary } from '@bufbuild/protobuf';
import { imageToTensor } from '@nearfar/core';
import { readPng } from '@nearfar/core/png';
import { float32Values, type ImagePreprocess } from '@nearfar/protocol';
import { beforeAll, describe, expect, test } from 'vitest';
import { type ModelProto, ModelProtoSchema } from '../../register/src/onnx/generated/onnx_pb.ts';
import { makeTfjs, type TfjsModel } from '../../register/src/tfjs/make-tfjs.ts';
import { dataFolder, readTestPictures } from '../support/data-sets.ts';
import { readGolden } from '../support/golden.ts';
import { randomNumbers } from '../support/tfjs/build-onnx.ts';
import {
  countOperations,
  expectMade,
  inputsFor,
  largestDifference,
  type NamedNumbers,
  readJson,
  runOnnx,
  runTfjs,
  useBackend,
} from '../support/tfjs/run-graphs.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const SHARED = here('../../../shared');
const ABSENT = 'the third-party models are not here';

interface Subject {
  readonly name: string;
  readonly path: string;
  /** Transposes that are left: at most one at each border. */
  readonly transposes: number;
  readonly hasFreeBatch: boolean;
  /** Pictures as the model wants them; undefined where their data set is not here. */
  readonly realInputs: () => Promise<NamedNumbers | undefined>;
}

const sample = (task: 'digits' | 'fashion', model: string): Subject => ({
  name: `${task} ${model}`,
  path: here(`../../models/${task}/${model}.onnx`),
  transposes: 0,
  hasFreeBatch: true,
  realInputs: async () => {
    const { inputs } = await readGolden(task, model);
    return Object.fromEntries(
      inputs.map((tensor) => [
        tensor.name,
        { shape: tensor.shape, values: Float32Array.from(float32Values(tensor)) },
      ]),
    );
  },
});

const mobilenet = (width: string): Subject => ({
  name: `mobilenet ${width}`,
  path: `${SHARED}/models/onnx-mobilenet-v1-${width}/mobilenet_v1_${width}.onnx`,
  transposes: 0,
  hasFreeBatch: true,
  realInputs: async () =>
    pictureInput('chelsea.png', {
      input: 'image',
      width: 224,
      height: 224,
      layout: 'NHWC',
      mean: [0.5],
      std: [0.5],
    }),
});

const ultraface = (variant: string): Subject => ({
  name: `ultraface ${variant}`,
  path: `${SHARED}/models/ultraface/version-${variant}-320.onnx`,
  transposes: 1,
  hasFreeBatch: false,
  // (v − 127) / 128 of a byte is (v / 255 − 127 / 255) / (128 / 255).
  realInputs: async () =>
    pictureInput('astronaut.png', {
      input: 'input',
      width: 320,
      height: 240,
      layout: 'NCHW',
      mean: [127 / 255],
      std: [128 / 255],
    }),
});

const SUBJECTS: readonly Subject[] = [
  ...(['digits', 'fashion'] as const).flatMap((task) =>
    ['tiny', 'small', 'large'].map((model) => sample(task, model)),
  ),
  {
    name: 'mnist',
    path: `${SHARED}/models/mnist/mnist.onnx`,
    transposes: 0,
    hasFreeBatch: false,
    realInputs: async () => {
      if (dataFolder === undefined) return undefined;
      const { pixels } = await readTestPictures('mnist');
      return { Input3: { shape: [1, 1, 28, 28], values: Float32Array.from(pixels.subarray(0, 28 * 28)) } };
    },
  },
  mobilenet('0.25'),
  mobilenet('0.75'),
  ultraface('RFB'),
  ultraface('slim'),
];

function pictureInput(
  file: string,
  rule: Pick<ImagePreprocess, 'input' | 'width' | 'height' | 'layout' | 'mean' | 'std'>,
): NamedNumbers {
  const picture = readPng(readFileSync(`${SHARED}/images/${file}`));
  const tensor = imageToTensor(picture, {
    kind: 'image',
    channels: 'rgb',
    invert: 'never',
    center: 'box',
    ...rule,
  });
  return { [rule.input]: { shape: tensor.shape, values: Float32Array.from(float32Values(tensor)) } };
}

function readModel(path: string): ModelProto {
  return fromBinary(ModelProtoSchema, readFileSync(path));
}

function weightBytes({ weights }: TfjsModel): number {
  return weights.reduce((sum, { bytes }) => sum + bytes.length, 0);
}

describe('a tfjs graph made from an ONNX model', () => {
  beforeAll(() => useBackend('wasm'));

  test.for(SUBJECTS)(
    '$name gives what onnxruntime gives',
    async ({ path, hasFreeBatch, realInputs }, { skip }) => {
      if (!existsSync(path)) skip(ABSENT);
      const model = readModel(path);
      const tfjs = expectMade(makeTfjs(model));
      const real = await realInputs();
      const batches = hasFreeBatch ? [1, 3] : [1];
      const cases = [
        ...batches.map((batch) => inputsFor(tfjs, batch, randomNumbers(batch))),
        ...(real === undefined ? [] : [real]),
      ];
      for (const inputs of cases) {
        expect(largestDifference(await runTfjs(tfjs, inputs), await runOnnx(model, inputs))).toBeLessThan(
          1e-5,
        );
      }
    },
  );

  test.for(SUBJECTS)(
    '$name transposes at its borders only, and fuses what can be',
    ({ path, transposes, hasFreeBatch }, { skip }) => {
      if (!existsSync(path)) skip(ABSENT);
      const model = readModel(path);
      const tfjs = expectMade(makeTfjs(model));
      expect(countOperations(tfjs, 'Transpose')).toBe(transposes);
      for (const operation of ['Conv2D', 'DepthwiseConv2dNative', 'MatMul', 'BiasAdd', 'Relu6']) {
        expect(countOperations(tfjs, operation)).toBe(0);
      }
      const { inputs, outputs } = readJson(tfjs).signature;
      const initializers = new Set(model.graph?.initializer.map(({ name }) => name));
      expect(Object.keys(inputs)).toEqual(
        model.graph?.input.map(({ name }) => name).filter((name) => !initializers.has(name)),
      );
      expect(Object.keys(outputs)).toEqual(model.graph?.output.map(({ name }) => name));
      for (const { tensorShape } of [...Object.values(inputs), ...Object.values(outputs)]) {
        expect(tensorShape.dim[0]?.size).toBe(hasFreeBatch ? '-1' : '1');
      }
    },
  );

  test.for(SUBJECTS)(
    '$name with fp16 weights is half the bytes and gives nearly the same',
    async ({ path, realInputs }, { skip }) => {
      if (!existsSync(path)) skip(ABSENT);
      const model = readModel(path);
      const full = expectMade(makeTfjs(model));
      const half = expectMade(makeTfjs(model, { weights: 'fp16' }));
      expect(weightBytes(half) / weightBytes(full)).toBeLessThan(0.51);
      const inputs = (await realInputs()) ?? inputsFor(full, 1, randomNumbers(1));
      // fp16 keeps 11 bits of a weight: 2^-11 = 0.0005 of it, a few times that after some layers.
      expect(largestDifference(await runTfjs(half, inputs), await runTfjs(full, inputs))).toBeLessThan(1e-2);
    },
  );

  test.for(SUBJECTS)('$name is made of the same bytes each time', ({ path }, { skip }) => {
    if (!existsSync(path)) skip(ABSENT);
    for (const weights of ['fp32', 'fp16'] as const) {
      expect(makeTfjs(readModel(path), { weights })).toEqual(makeTfjs(readModel(path), { weights }));
    }
  });

  test('a model with operators of another kind is left out, all of them named', ({ skip }) => {
    const path = `${SHARED}/models/silero-vad/silero_vad.onnx`;
    if (!existsSync(path)) skip(ABSENT);
    const made = makeTfjs(readModel(path));
    expect(made).toEqual({
      kind: 'left-out',
      reason:
        'operators that are not converted: If × 25, Equal × 17, ConstantOfShape × 4, LSTM × 4, Not × 4, Size × 4 ' +
        '(docs/variants.md lists what is converted)',
    });
  });
});
