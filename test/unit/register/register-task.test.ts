import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { createMemoryArtifacts, offlineRecord } from '@nearfar/coordinator';
import type { TaskRecord } from '@nearfar/core';
import { float32Tensor, type RegistrationEvent } from '@nearfar/protocol';
import { registerTask } from '@nearfar/register';
import { beforeAll, describe, expect, test } from 'vitest';
import { memoryFiles } from '../../support/register/memory-files.ts';
import { fakeRunner, memoryJournal } from '../../support/register/trials.ts';
import { idx } from './data/builders.ts';

const LABELS = Array.from({ length: 10 }, (_, index) => `${index}`);
const MANIFEST = {
  task: 'small-fashion',
  kind: 'image-classification',
  labels: 'labels.json',
  preprocess: {
    kind: 'image',
    input: 'image',
    width: 28,
    height: 28,
    channels: 'grayscale',
    layout: 'NCHW',
    mean: [0],
    std: [1],
  },
  postprocess: { kind: 'classification', output: 'logits', activation: 'softmax' },
  eval: { format: 'idx', images: 'images', labels: 'labels' },
  golden: 'golden.json',
  models: [{ name: 'tiny', format: 'onnx', path: 'tiny.onnx', licence: 'Apache-2.0', accuracy: 0.9 }],
};
const PICTURES = 600;

let tiny: Uint8Array;
beforeAll(async () => {
  tiny = await readFile(fileURLToPath(new URL('../../../models/fashion/tiny.onnx', import.meta.url)));
});

/** Says that every picture shows the first label. */
const runner = fakeRunner(async (_, [image]) => {
  const count = image?.shape[0] ?? 0;
  const scores = Float32Array.from({ length: count * 10 }, (_, index) => (index % 10 === 0 ? 1 : 0));
  return [float32Tensor('logits', [count, 10], scores)];
});

async function register({
  changed = {},
  isTried = true,
  known,
  evalLimit,
}: {
  changed?: Readonly<Record<string, string | Uint8Array>>;
  isTried?: boolean;
  known?: TaskRecord;
  evalLimit?: number;
} = {}) {
  const events: RegistrationEvent[] = [];
  const files = memoryFiles({
    'tiny.onnx': tiny,
    'labels.json': JSON.stringify(LABELS),
    'golden.json': '{}',
    images: idx([PICTURES, 28, 28], new Uint8Array(PICTURES * 784)),
    labels: idx([PICTURES], new Uint8Array(PICTURES)),
    ...changed,
  });
  const options = { maxAccuracyDrop: 0.01, generate: false, rollout: { mode: 'now', share: 1 } } as const;
  const task = await registerTask(
    MANIFEST,
    { ...options, ...(evalLimit !== undefined && { evalLimit }) },
    {
      files,
      artifacts: createMemoryArtifacts(),
      journal: memoryJournal(),
      runner: isTried ? runner : undefined,
      known,
      wallTime: () => 0,
      emit: (event) => events.push(event),
      signal: new AbortController().signal,
    },
  );
  return { task, events };
}

describe('registering a task', () => {
  test('measures on the labelled data, or on as many of them as asked', async () => {
    const accuracyOf = async (options: Parameters<typeof register>[0]) =>
      (await register(options)).task.variants[0]?.accuracy;
    expect(await accuracyOf({})).toMatchObject({ value: 1, source: 'measured', sampleSize: PICTURES });
    expect(await accuracyOf({ evalLimit: 50 })).toMatchObject({ source: 'measured', sampleSize: 50 });
  });

  test('again with the same files gives the active revision itself', async () => {
    const { task } = await register();
    expect((await register({ known: { active: task } })).task).toBe(task);
  });

  test.each([
    ['labels in the same file', { 'labels.json': JSON.stringify([...LABELS].reverse()) }],
    ['labelled data under the same name', { labels: idx([PICTURES], new Uint8Array(PICTURES).fill(1)) }],
  ])(
    'with other %s makes a new revision of the task, in which the variant keeps its number',
    async (_, changed) => {
      const { task } = await register();
      const { task: next } = await register({ known: { active: task }, changed });
      expect(next.revision).toBe(2);
      expect(next.variants[0]?.revision).toBe(1);
    },
  );

  test('tells of progress in steps, however many rows there are', async () => {
    const pictures = 40_000;
    const { events } = await register({
      changed: {
        images: idx([pictures, 28, 28], new Uint8Array(pictures * 784)),
        labels: idx([pictures], new Uint8Array(pictures)),
      },
    });
    const evaluating = events.filter((event) => event.type === 'progress' && event.phase === 'evaluate');
    expect(evaluating.length).toBeGreaterThan(100);
    expect(evaluating.length).toBeLessThanOrEqual(1_001);
  });
});

describe('a task that is registered as it is', () => {
  test('has what the manifest declares, and its golden file', async () => {
    const { task } = await register({ isTried: false });
    expect(task.variants).toMatchObject([
      { accuracy: { value: 0.9, source: 'declared', sampleSize: 0 }, golden: { path: 'golden.json' } },
    ]);
  });

  test('stays what a full registration made of the same files', async () => {
    const { task } = await register();
    expect((await register({ isTried: false, known: { active: task } })).task).toBe(task);
  });

  test('is another one when its golden file has changed', async () => {
    const known = offlineRecord((await register({ isTried: false })).task, undefined);
    const { task } = await register({ isTried: false, known, changed: { 'golden.json': '{ }' } });
    expect(task).not.toBe(known.active);
    expect(task.variants[0]?.golden).not.toEqual(known.active.variants[0]?.golden);
  });
});
