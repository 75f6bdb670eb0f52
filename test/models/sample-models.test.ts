import { readFileSync, statSync } from 'node:fs';
import { imageToTensor } from '@nearfar/core';
import { float32Values, type Manifest, manifestSchema, parseOrThrow } from '@nearfar/protocol';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { loadGraphModel } from '@tensorflow/tfjs-converter';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { beforeAll, describe, expect, test } from 'vitest';
import { dataFolder, type LabelledPictures, NO_DATA, readTestPictures } from '../support/data-sets.ts';

const MODELS = new URL('../../models/', import.meta.url);
const PICTURE = 28 * 28;

/** What each sample model has to reach, and how large its ONNX file may be. */
const BARS = [
  { task: 'digits', model: 'tiny', accuracy: 0.98, maxBytes: 60_000 },
  { task: 'digits', model: 'small', accuracy: 0.99, maxBytes: 1_000_000 },
  { task: 'digits', model: 'large', accuracy: 0.995, maxBytes: 12_000_000 },
  { task: 'fashion', model: 'tiny', accuracy: 0.88, maxBytes: 60_000 },
  { task: 'fashion', model: 'small', accuracy: 0.915, maxBytes: 1_000_000 },
  { task: 'fashion', model: 'large', accuracy: 0.935, maxBytes: 12_000_000 },
] as const;

function manifestOf(task: string): Manifest {
  const text = readFileSync(new URL(`${task}/manifest.json`, MODELS), 'utf8');
  return parseOrThrow(manifestSchema, JSON.parse(text), 'MESH_BAD_MANIFEST', 'manifest');
}

/** The data set's pictures as the manifest's preprocessing makes them. */
function toTensors(manifest: Manifest, pictures: LabelledPictures, count: number): Float32Array {
  const { preprocess } = manifest;
  if (preprocess?.kind !== 'image') throw new Error('Expected the sample tasks to have preprocessing');
  const values = new Float32Array(count * PICTURE);
  const rgba = new Uint8Array(PICTURE * 4).fill(255);
  for (let index = 0; index < count; index += 1) {
    for (let pixel = 0; pixel < PICTURE; pixel += 1) {
      rgba.fill(pictures.pixels[index * PICTURE + pixel] ?? 0, pixel * 4, pixel * 4 + 3);
    }
    const tensor = imageToTensor({ width: 28, height: 28, data: rgba }, preprocess);
    values.set(float32Values(tensor), index * PICTURE);
  }
  return values;
}

async function runOnnx(path: URL, values: Float32Array): Promise<Float32Array> {
  const session = await InferenceSession.create(path.pathname, { intraOpNumThreads: 2 });
  const count = values.length / PICTURE;
  const logits = new Float32Array(count * 10);
  for (let first = 0; first < count; first += 250) {
    const last = Math.min(count, first + 250);
    const image = new Tensor('float32', values.subarray(first * PICTURE, last * PICTURE), [
      last - first,
      1,
      28,
      28,
    ]);
    const output = await session.run({ image });
    logits.set(output.logits?.data as Float32Array, first * 10);
  }
  await session.release();
  return logits;
}

function share(logits: Float32Array, labels: Uint8Array): number {
  const count = logits.length / 10;
  let right = 0;
  for (let index = 0; index < count; index += 1) {
    const scores = logits.subarray(index * 10, index * 10 + 10);
    if (scores.indexOf(Math.max(...scores)) === labels[index]) right += 1;
  }
  return right / count;
}

test.each(['digits', 'fashion'])('%s: a larger model is a more accurate one', (task) => {
  const accuracies = ['tiny', 'small', 'large'].map(
    (name) => manifestOf(task).models.find((model) => model.name === name)?.accuracy ?? 0,
  );
  expect(accuracies).toEqual(accuracies.toSorted((a, b) => a - b));
});

test.each(BARS)('$task $model is within its size', ({ task, model, maxBytes }) => {
  expect(statSync(new URL(`${task}/${model}.onnx`, MODELS)).size).toBeLessThanOrEqual(maxBytes);
});

describe.skipIf(dataFolder === undefined)(`measured on the test pictures (skipped where ${NO_DATA})`, () => {
  const tensors = new Map<string, { values: Float32Array; labels: Uint8Array }>();

  beforeAll(async () => {
    for (const [task, name] of [['digits', 'mnist'] as const, ['fashion', 'fashion-mnist'] as const]) {
      const pictures = await readTestPictures(name);
      tensors.set(task, {
        values: toTensors(manifestOf(task), pictures, pictures.count),
        labels: pictures.labels,
      });
    }
  });

  test.for(BARS)('$task $model reaches $accuracy, and the manifest says what it reaches', async (bar) => {
    const data = tensors.get(bar.task);
    if (data === undefined) throw new Error(`Expected pictures for ${bar.task}`);
    const found = share(
      await runOnnx(new URL(`${bar.task}/${bar.model}.onnx`, MODELS), data.values),
      data.labels,
    );
    const declared = manifestOf(bar.task).models.find((entry) => entry.name === bar.model)?.accuracy;
    // Rounding may move single pictures over an edge.
    expect(Math.abs(found - (declared ?? 0))).toBeLessThanOrEqual(0.0005);
    expect(found).toBeGreaterThanOrEqual(bar.accuracy);
  });

  test.each([
    ['digits', 'tiny'],
    ['digits', 'small'],
    ['fashion', 'tiny'],
    ['fashion', 'small'],
  ] as const)('%s %s as tfjs agrees with its ONNX form to 1e-4', async (task, model) => {
    const values = tensors.get(task)?.values.slice(0, 128 * PICTURE);
    if (values === undefined) throw new Error(`Expected pictures for ${task}`);
    const artifacts = JSON.parse(readFileSync(new URL(`${task}/${model}-tfjs/model.json`, MODELS), 'utf8'));
    const weights = new Uint8Array(readFileSync(new URL(`${task}/${model}-tfjs/weights.bin`, MODELS)));
    const graph = await loadGraphModel({
      load: async () => ({
        ...artifacts,
        weightSpecs: artifacts.weightsManifest[0].weights,
        weightData: weights.buffer,
      }),
    });
    const output = graph.execute({ image: tf.tensor4d(values, [128, 1, 28, 28]) }, 'logits') as tf.Tensor;
    const found = await output.data();
    const expected = await runOnnx(new URL(`${task}/${model}.onnx`, MODELS), values);
    const largest = expected.reduce(
      (most, value, index) => Math.max(most, Math.abs(value - (found[index] ?? 0))),
      0,
    );
    expect(largest).toBeLessThanOrEqual(1e-4);
  });
});
