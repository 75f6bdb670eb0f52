import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { namedFiles } from '@nearfar/register';
import { beforeAll, describe, expect, test } from 'vitest';
import { memoryFiles } from '../../support/register/memory-files.ts';

let tiny: Uint8Array;
beforeAll(async () => {
  tiny = await readFile(fileURLToPath(new URL('../../../models/fashion/tiny.onnx', import.meta.url)));
});

const MANIFEST = {
  task: 'small-fashion',
  kind: 'image-classification',
  labels: 'labels.json',
  postprocess: { kind: 'classification', output: 'logits', activation: 'softmax' },
  samples: ['shoe.png'],
  golden: 'golden.json',
  models: [{ name: 'tiny', format: 'onnx', path: './tiny.onnx', licence: 'Apache-2.0' }],
};

describe('the files that a registration reads', () => {
  const named = (rule: unknown, data: Readonly<Record<string, string>>) =>
    namedFiles(
      { ...MANIFEST, eval: rule },
      memoryFiles({ './tiny.onnx': tiny, 'labels.json': '["shoe"]', ...data }),
    );
  const ALWAYS = ['./tiny.onnx', 'golden.json', 'labels.json', 'shoe.png'];

  test.each([
    [
      'idx',
      { format: 'idx', directory: 'data/', images: 'images', labels: 'labels' },
      ['data/images', 'data/labels'],
    ],
    ['npz', { format: 'npz', file: 'data/eval.npz' }, ['data/eval.npz']],
    ['folder', { format: 'folder', directory: 'data' }, ['data/shoe/1.png', 'data/shoe/2.png']],
  ])('are those of models, labels, samples, golden pair and eval data: %s', async (_, rule, data) => {
    expect(await named(rule, Object.fromEntries(data.map((path) => [path, 'x'])))).toEqual(
      [...ALWAYS, ...data].sort(),
    );
    // Data that are not here are no obstacle.
    expect(await named(rule, {})).toEqual(ALWAYS);
  });
});
