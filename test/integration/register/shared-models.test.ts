import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { imageToTensor } from '@nearfar/core';
import { readJpeg } from '@nearfar/core/jpeg';
import { readPng } from '@nearfar/core/png';
import {
  decodeInferResponse,
  encodeInferRequest,
  float32Tensor,
  float32Values,
  type ImagePreprocess,
  joinBody,
  modelsResponseSchema,
  parseOrThrow,
  type TaskInfo,
  type Tensor,
} from '@nearfar/protocol';
import { createEngineRunner } from '@nearfar/register';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type MeshProcess, startMeshProcess } from '../../support/mesh-process.ts';
import { runNearfar } from '../../support/run-nearfar.ts';

const SHARED = fileURLToPath(new URL('../../../../shared/', import.meta.url));
const MANIFESTS = fileURLToPath(new URL('../../manifests/', import.meta.url));
const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));
const isHere = existsSync(`${SHARED}models/silero-vad`);
/** Making, trying, loading and measuring a dozen variants where both cores are busy. */
const WITHIN_MS = 6 * 60_000;

let mesh: MeshProcess;
let place: string[];

beforeAll(async () => {
  if (!isHere) return;
  mesh = await startMeshProcess([
    '--pool-workers',
    '0',
    '--manifest',
    `${REPOSITORY}models/digits/manifest.json`,
  ]);
  await mesh.ready(1);
  place = ['--url', mesh.url, '--state', mesh.stateDirectory];
}, 120_000);
afterAll(() => mesh?.close());

async function register(manifest: string, ...args: string[]): Promise<{ task: TaskInfo; stdout: string }> {
  const path = `${MANIFESTS}${manifest}.json`;
  const { code, stdout, stderr } = await runNearfar(['register', path, '--files', SHARED, ...args, ...place]);
  expect(code, stderr).toBe(0);
  const { models } = parseOrThrow(modelsResponseSchema, await mesh.get('/v1/models'));
  const task = models.find((entry) => entry.task === manifest);
  if (task === undefined) throw new Error(`Expected a task "${manifest}"`);
  return { task, stdout };
}

/** Asks the mesh for one variant, by the binary tensor extension. */
async function ask(task: string, variant: string, tensors: readonly Tensor[]): Promise<readonly Tensor[]> {
  const encoded = encodeInferRequest({ parameters: { binary_data_output: true, slo_ms: 5_000 } }, tensors);
  const response = await fetch(`${mesh.url}/v2/models/${task}/versions/${variant}/infer`, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${mesh.token}`,
      'Content-Type': 'application/octet-stream',
      'Inference-Header-Content-Length': String(encoded.headerBytes),
    },
    body: joinBody(encoded),
  });
  const body = new Uint8Array(await response.arrayBuffer());
  if (!response.ok) throw new Error(`${variant}: ${new TextDecoder().decode(body)}`);
  const length = Number(response.headers.get('Inference-Header-Content-Length'));
  return decodeInferResponse(body, length).tensors;
}

/** What the runtime gives for the same tensors when it runs the variant's file alone. */
async function alone(
  variant: TaskInfo['variants'][number],
  tensors: readonly Tensor[],
): Promise<readonly Tensor[]> {
  const files = [];
  for (const { path, sha256 } of variant.artifacts) {
    const response = await fetch(`${mesh.url}/v1/artifacts/${sha256}`, {
      headers: { Authorization: `Bearer ${mesh.token}` },
    });
    files.push({ path, bytes: new Uint8Array(await response.arrayBuffer()) });
  }
  if (variant.format === 'cascade') throw new Error('A cascade has no file of its own');
  const { inputs, outputs, format } = variant;
  const loaded = await createEngineRunner().load({
    variant: variant.variant,
    format,
    files,
    inputs,
    outputs,
  });
  try {
    return await loaded.run(0, tensors);
  } finally {
    await loaded.close();
  }
}

function largestDifference(a: readonly Tensor[], b: readonly Tensor[]): number {
  let largest = 0;
  for (const tensor of a) {
    const other = b.find(({ name }) => name === tensor.name);
    if (other === undefined) throw new Error(`Expected output "${tensor.name}"`);
    const values = float32Values(other);
    for (const [index, value] of float32Values(tensor).entries()) {
      largest = Math.max(largest, Math.abs(value - (values[index] ?? Number.NaN)));
    }
  }
  return largest;
}

/** Every variant answers as it does alone, and as its fp32 base does within what its precision allows. */
async function checkAnswers(task: TaskInfo, tensors: readonly Tensor[]): Promise<void> {
  for (const variant of task.variants) {
    const answered = await ask(task.task, variant.variant, tensors);
    const difference = largestDifference(await alone(variant, tensors), answered);
    expect(difference, variant.variant).toBeLessThanOrEqual(
      variant.precision === 'fp32' ? 1e-5 : variant.tolerance,
    );
  }
}

async function picture(name: string, rule: ImagePreprocess | undefined): Promise<readonly Tensor[]> {
  if (rule === undefined) throw new Error('Expected preprocessing');
  const bytes = await readFile(`${SHARED}images/${name}`);
  return [imageToTensor(name.endsWith('.png') ? readPng(bytes) : readJpeg(bytes), rule)];
}

const infer = (task: string, file: string) =>
  runNearfar(['infer', task, '--file', `${SHARED}images/${file}`, '--json', ...place]);

describe.skipIf(!isHere)(
  `registering third-party models${isHere ? '' : ' (they are not here: ../shared/models)'}`,
  () => {
    test(
      'image classifiers of two sizes, whose variants agree with them on crops',
      async () => {
        const { task, stdout } = await register('imagenet');
        for (const model of ['mobilenet-0.25', 'mobilenet-0.75']) {
          expect(stdout).toContain(`${model}-int8-onnx`);
          const bytes = (variant: string) =>
            task.variants.find((entry) => entry.variant === variant)?.artifacts[0]?.sizeBytes ?? Number.NaN;
          expect(bytes(`${model}-int8-onnx`) / bytes(`${model}-fp32-onnx`)).toBeLessThanOrEqual(0.3);
        }
        for (const { variant, origin, accuracy } of task.variants) {
          expect(accuracy.source, variant).toBe(origin === 'generated' ? 'agreement' : 'declared');
          if (origin === 'supplied') continue;
          expect(accuracy.agreement?.value, variant).toBeGreaterThanOrEqual(0.98);
          expect(accuracy.agreement?.sampleSize, variant).toBeGreaterThanOrEqual(200);
        }
        const { stdout: answer } = await infer('imagenet', 'coffee.png');
        expect(JSON.parse(answer).predictions[0].label).toContain('espresso');
        await checkAnswers(task, await picture('chelsea.png', task.preprocess));
      },
      WITHIN_MS,
    );

    test(
      'models that exist only as tfjs layers models, which answer HTTP callers all the same',
      async () => {
        const { task } = await register('imagenet-tfjs');
        expect(task.variants.map(({ variant, tiers }) => [variant, tiers])).toEqual([
          ['mobilenet-0.25-fp32-tfjs', ['browser', 'edge', 'pool']],
          ['mobilenet-0.75-fp32-tfjs', ['browser', 'edge', 'pool']],
        ]);
        const { stdout } = await infer('imagenet-tfjs', 'cat.jpg');
        expect(JSON.parse(stdout).predictions[0].label).toMatch(/cat/i);
        await checkAnswers(task, await picture('cat.jpg', task.preprocess));
      },
      WITHIN_MS,
    );

    test(
      'face detectors with two outputs and a fixed batch, which find the one face',
      async () => {
        const { task } = await register('faces');
        expect(task.variants.every(({ isBatchable }) => !isBatchable)).toBe(true);
        const { stdout } = await infer('faces', 'astronaut.png');
        const { predictions } = JSON.parse(stdout);
        expect(predictions).toHaveLength(1);
        expect(predictions[0]).toMatchObject({ label: 'face' });
        const [left, top, right, bottom] = predictions[0].box;
        // The astronaut's face is in the upper middle of the picture.
        expect([left > 0.3, top > 0.05, right < 0.6, bottom < 0.45]).toEqual([true, true, true, true]);
        await checkAnswers(task, await picture('astronaut.png', task.preprocess));
      },
      WITHIN_MS,
    );

    test(
      'an audio model with a recurrent state and three inputs, one of them an int64 scalar',
      async () => {
        const { task, stdout } = await register('speech');
        expect(stdout).toMatch(/silero-vad-fp32-tfjs .*LSTM/);
        const tensors: Tensor[] = [
          float32Tensor(
            'input',
            [1, 576],
            Float32Array.from({ length: 576 }, (_, index) => Math.sin(index / 9) / 2),
          ),
          float32Tensor('state', [2, 1, 128], new Float32Array(256)),
          {
            name: 'sr',
            datatype: 'INT64',
            shape: [],
            data: new Uint8Array(new BigInt64Array([16_000n]).buffer),
          },
        ];
        await checkAnswers(task, tensors);
      },
      WITHIN_MS,
    );

    test(
      'a digit classifier of an old opset, measured on labelled pictures',
      async () => {
        const { task } = await register('cntk-digits', '--data', `${SHARED}data`, '--eval-limit', '1000');
        expect(task.variants.find(({ variant }) => variant === 'cntk-fp32-onnx')?.accuracy).toMatchObject({
          source: 'measured',
          sampleSize: 1_000,
        });
        const rule = task.preprocess;
        if (rule === undefined) throw new Error('Expected preprocessing');
        const seven = readPng(await readFile(`${REPOSITORY}models/digits/samples/seven.png`));
        await checkAnswers(task, [imageToTensor(seven, rule)]);
      },
      WITHIN_MS,
    );
  },
);
