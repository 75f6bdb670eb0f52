import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { imageToTensor, type Pixels } from '@nearfar/core';
import { float32Values } from '@nearfar/protocol';
import { folderFiles } from '@nearfar/register';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { beforeAll, describe, expect, test } from 'vitest';
import { randomCrop } from '../../register/src/data/crop.ts';
import { decodePicture } from '../../register/src/data/pictures.ts';
import { createRandom } from '../../register/src/data/seeded-random.ts';
import { readWav } from '../../register/src/data/wav.ts';
import type { Made } from '../../register/src/made.ts';
import type { ModelProto } from '../../register/src/onnx/generated/onnx_pb.ts';
import { makeFp16 } from '../../register/src/onnx/make-fp16.ts';
import { makeInt8Dynamic } from '../../register/src/onnx/make-int8-dynamic.ts';
import { makeInt8Weights } from '../../register/src/onnx/make-int8-weights.ts';
import { encodeOnnx, readOnnx } from '../../register/src/onnx/read-onnx.ts';
import { signatureOf } from '../../register/src/onnx/signature.ts';
import { upgradeOpset } from '../../register/src/onnx/upgrade-opset.ts';
import { dataFolder, NO_DATA, readTestPictures } from '../support/data-sets.ts';
import { randomNumbers } from '../support/tfjs/build-onnx.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const SHARED = here('../../../shared/');
const ABSENT = 'the third-party models are not here';

const MAKERS = { fp16: makeFp16, int8: makeInt8Weights, 'int8-dynamic': makeInt8Dynamic } as const;
type Precision = keyof typeof MAKERS;

/** Inputs of one run, in the model's order. */
type Row = readonly Tensor[];

interface Subject {
  readonly path: string;
  readonly rows: () => Promise<readonly Row[]>;
  /** Outputs that are inputs of the next row, by name. */
  readonly state?: Readonly<Record<string, string>>;
  /** Largest difference that was seen, as a share of the largest output, twice over; a variant without one is left out. */
  readonly tolerance: Partial<Record<Precision, number>>;
  /** Least share of rows with the same best label; seen on crops of photographs: fp16 0.995, int8 0.99, dynamic 0.985 and 0.96. */
  readonly agreement?: Partial<Record<Precision, number>> | undefined;
}

const float32 = (values: Float32Array, shape: readonly number[]) => new Tensor('float32', values, shape);

/** Crops of photographs, from -1 to 1, channels last. */
async function crops(): Promise<readonly Row[]> {
  const random = createRandom(1);
  const pictures = ['chelsea.png', 'cat.jpg', 'coffee.png', 'astronaut.png'].map((name) =>
    decodePicture(readFileSync(`${SHARED}images/${name}`), name),
  );
  const rule = {
    kind: 'image',
    input: 'image',
    width: 224,
    height: 224,
    channels: 'rgb',
    layout: 'NHWC',
    invert: 'never',
    center: 'box',
    mean: [0.5, 0.5, 0.5],
    std: [0.5, 0.5, 0.5],
  } as const;
  return Array.from({ length: 200 }, (_, index) => {
    const picture = randomCrop(pictures[index % pictures.length] as Pixels, random, true);
    const tensor = imageToTensor(picture, { ...rule, mean: [...rule.mean], std: [...rule.std] });
    return [float32(Float32Array.from(float32Values(tensor)), tensor.shape)];
  });
}

/** A face, for the detectors. */
async function faces(): Promise<readonly Row[]> {
  const picture = decodePicture(readFileSync(`${SHARED}images/astronaut.png`), 'astronaut.png');
  const tensor = imageToTensor(picture, {
    kind: 'image',
    input: 'input',
    width: 320,
    height: 240,
    channels: 'rgb',
    layout: 'NCHW',
    invert: 'never',
    center: 'box',
    mean: [127 / 255, 127 / 255, 127 / 255],
    std: [128 / 255, 128 / 255, 128 / 255],
  });
  return [[float32(Float32Array.from(float32Values(tensor)), tensor.shape)]];
}

/** Two seconds of speech in frames of 512 samples with the 64 before them. */
async function speech(): Promise<readonly Row[]> {
  const path = `${SHARED}models/silero-vad/speech-30s.wav`;
  const { values } = readWav(readFileSync(path), path);
  return Array.from({ length: 62 }, (_, frame) => [
    float32(
      Float32Array.from({ length: 576 }, (_, index) => values[frame * 512 + index - 64] ?? 0),
      [1, 576],
    ),
    float32(new Float32Array(256), [2, 1, 128]),
    new Tensor('int64', BigInt64Array.of(16_000n), []),
  ]);
}

/** Handwritten digits or clothes of the test set, 0 to `scale`; noise where it is not here. */
function pictures(name: 'mnist' | 'fashion-mnist', scale: number, count: number) {
  return async (): Promise<readonly Row[]> => {
    const random = randomNumbers(3);
    const data = dataFolder === undefined ? undefined : await readTestPictures(name);
    return Array.from({ length: count }, (_, row) => [
      float32(
        Float32Array.from({ length: 784 }, (_, pixel) =>
          data === undefined ? random() * scale : ((data.pixels[row * 784 + pixel] ?? 0) / 255) * scale,
        ),
        [1, 1, 28, 28],
      ),
    ]);
  };
}

const sample = (
  task: 'digits' | 'fashion',
  model: string,
  tolerance: Subject['tolerance'],
  agreement: Subject['agreement'],
): Subject => ({
  path: here(`../../models/${task}/${model}.onnx`),
  rows: pictures(task === 'digits' ? 'mnist' : 'fashion-mnist', 1, 300),
  tolerance,
  agreement,
});

const SAMPLES: readonly Subject[] = (['digits', 'fashion'] as const).flatMap((task) => [
  sample(task, 'tiny', { fp16: 0.004, int8: 0.035 }, { fp16: 0.99, int8: 0.97 }),
  sample(
    task,
    'small',
    { fp16: 0.004, int8: 0.02, 'int8-dynamic': 0.045 },
    { fp16: 0.99, int8: 0.98, 'int8-dynamic': 0.98 },
  ),
  sample(
    task,
    'large',
    { fp16: 0.004, int8: 0.02, 'int8-dynamic': 0.045 },
    { fp16: 0.99, int8: 0.98, 'int8-dynamic': 0.98 },
  ),
]);

const THIRD_PARTY: readonly Subject[] = [
  {
    path: `${SHARED}models/mnist/mnist.onnx`,
    rows: pictures('mnist', 255, 100),
    tolerance: { fp16: 0.002, int8: 0.012 },
    agreement: { fp16: 1, int8: 1 },
  },
  ...['0.25', '0.75'].map((width) => ({
    path: `${SHARED}models/onnx-mobilenet-v1-${width}/mobilenet_v1_${width}.onnx`,
    rows: crops,
    tolerance: { fp16: 0.04, int8: 0.07, 'int8-dynamic': 0.18 },
    agreement: { fp16: 0.99, int8: 0.98, 'int8-dynamic': 0.94 },
  })),
  ...['RFB', 'slim'].map((kind) => ({
    path: `${SHARED}models/ultraface/version-${kind}-320.onnx`,
    rows: faces,
    tolerance: { fp16: 0.015, int8: 0.02, 'int8-dynamic': 0.04 },
  })),
  {
    path: `${SHARED}models/silero-vad/silero_vad.onnx`,
    rows: speech,
    state: { state: 'stateN' },
    tolerance: { fp16: 0.004, int8: 0.07, 'int8-dynamic': 0.14 },
  },
];

async function open(bytes: Uint8Array): Promise<InferenceSession> {
  return await InferenceSession.create(bytes, { intraOpNumThreads: 2, logSeverityLevel: 3 });
}

/** Every row's outputs; states go from row to row. */
async function run(bytes: Uint8Array, rows: readonly Row[], state: Subject['state'] = {}) {
  const session = await open(bytes);
  const carried: Record<string, Tensor> = {};
  const results: Record<string, Float32Array>[] = [];
  for (const row of rows) {
    const inputs = Object.fromEntries(session.inputNames.map((name, place) => [name, row[place] as Tensor]));
    const outputs = await session.run({ ...inputs, ...carried });
    for (const [input, output] of Object.entries(state)) carried[input] = outputs[output] as Tensor;
    results.push(
      Object.fromEntries(
        Object.entries(outputs).map(([name, { data }]) => [name, Float32Array.from(data as Float32Array)]),
      ),
    );
  }
  await session.release();
  return results;
}

type Results = Awaited<ReturnType<typeof run>>;

/** Largest difference of any output, as a share of that output's largest number in any row. */
function difference(expected: Results, found: Results): number {
  let worst = 0;
  for (const name of Object.keys(expected[0] ?? {})) {
    let [largest, apart] = [0, 0];
    for (const [row, outputs] of expected.entries()) {
      for (const [index, value] of (outputs[name] ?? new Float32Array()).entries()) {
        largest = Math.max(largest, Math.abs(value));
        const other = Math.abs(value - (found[row]?.[name]?.[index] ?? Number.NaN));
        apart = other <= apart ? apart : other;
      }
    }
    worst = Math.max(worst, apart / largest);
  }
  return worst;
}

function shareOfSameBest(expected: Results, found: Results): number {
  const best = (outputs: Record<string, Float32Array> | undefined) => {
    const [scores = new Float32Array()] = Object.values(outputs ?? {});
    return scores.indexOf(Math.max(...scores));
  };
  return expected.filter((outputs, row) => best(outputs) === best(found[row])).length / expected.length;
}

function describeSubject({ path, rows, state, tolerance, agreement }: Subject): void {
  describe(basename(path), () => {
    const base = { bytes: readFileSync(path), sizeBytes: statSync(path).size };
    let model: ModelProto;
    let inputs: readonly Row[];
    let expected: Results;

    beforeAll(async () => {
      const folder = folderFiles([path.slice(0, path.lastIndexOf('/'))]);
      ({ model } = await readOnnx(folder, basename(path)));
      inputs = await rows();
      expected = await run(base.bytes, inputs, state);
    });

    test('is read and written without a change that a runtime sees', async () => {
      expect(difference(expected, await run(encodeOnnx(model), inputs, state))).toBe(0);
    });

    test('its signature is that of the runtime', async () => {
      const session = await open(base.bytes);
      const names = signatureOf(model).inputs.map(({ name }) => name);
      // The runtime lists initialisers that may be overridden too.
      expect(session.inputNames.slice(0, names.length)).toEqual(names);
      expect(signatureOf(model).outputs.map(({ name }) => name)).toEqual([...session.outputNames]);
      await session.release();
    });

    test('upgraded to opset 13 it means the same', async () => {
      const upgraded = upgradeOpset(model, 13);
      if (upgraded.kind === 'left-out') throw new Error(upgraded.reason);
      expect(difference(expected, await run(encodeOnnx(upgraded.value), inputs, state))).toBeLessThan(1e-4);
    });

    for (const precision of Object.keys(MAKERS) as Precision[]) {
      test(`${precision}: ${tolerance[precision] === undefined ? 'left out' : 'loads, is near and small'}`, async (context) => {
        const made: Made<ModelProto> = MAKERS[precision](model);
        const limit = tolerance[precision];
        if (limit === undefined) {
          expect(made).toMatchObject({ kind: 'left-out', reason: expect.stringContaining('large enough') });
          return;
        }
        if (made.kind === 'left-out') throw new Error(made.reason);
        const bytes = encodeOnnx(made.value);
        expect(Buffer.compare(bytes, encodeOnnx((MAKERS[precision](model) as typeof made).value))).toBe(0);
        const found = await run(bytes, inputs, state);
        const [apart, same] = [difference(expected, found), shareOfSameBest(expected, found)];
        const share = bytes.length / base.sizeBytes;
        context.annotate(
          `${(share * 100).toFixed(1)} % of the bytes, difference ${apart.toFixed(4)}, agreement ${same}`,
        );
        expect(apart).toBeLessThan(limit);
        expect(same).toBeGreaterThanOrEqual(agreement?.[precision] ?? 0);
        if (precision !== 'fp16' && base.sizeBytes > 200_000) expect(share).toBeLessThanOrEqual(0.3);
        if (precision === 'fp16') expect(share).toBeLessThan(0.56);
      });
    }
  });
}

describe('made from the sample models', () => {
  if (dataFolder === undefined) console.warn(`Noise in place of pictures: ${NO_DATA}`);
  for (const subject of SAMPLES) describeSubject(subject);
});

const thirdParty = THIRD_PARTY.filter(({ path }) => existsSync(path));
describe.skipIf(thirdParty.length < THIRD_PARTY.length)(
  `made from third-party models (skipped where ${ABSENT})`,
  () => {
    for (const subject of thirdParty) describeSubject(subject);
  },
);
