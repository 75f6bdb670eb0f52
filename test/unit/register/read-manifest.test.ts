import { MeshError } from '@nearfar/protocol';
import { readManifest, type SourceFiles } from '@nearfar/register';
import { describe, expect, test } from 'vitest';
import { memoryFiles } from '../../support/register/memory-files.ts';

const MODEL = { name: 'tiny', format: 'onnx', path: 'tiny.onnx', licence: 'MIT' };
const CLASSIFIER = {
  labels: ['a', 'b'],
  postprocess: { kind: 'classification', output: 'y', activation: 'none' },
};
const PICTURES = { kind: 'image', input: 'x', width: 8, height: 8, layout: 'NCHW', mean: [0], std: [1] };
const MANIFEST = { task: 'digits', kind: 'tensor', models: [MODEL] };

async function refusal(manifest: unknown, files: SourceFiles = memoryFiles({})): Promise<string> {
  try {
    await readManifest(manifest, files);
  } catch (error) {
    expect(error).toBeInstanceOf(MeshError);
    expect((error as MeshError).code).toBe('MESH_BAD_MANIFEST');
    return (error as MeshError).message;
  }
  throw new Error('Expected the manifest to be refused');
}

describe('reading a manifest', () => {
  test('takes what is complete and fills in what may be left out', async () => {
    const manifest = await readManifest(MANIFEST, memoryFiles({}));
    expect(manifest.models).toEqual([{ ...MODEL, precision: 'fp32' }]);
    expect(manifest.labels).toBeUndefined();
  });

  test.each([
    [
      'a key of the top level',
      { ...MANIFEST, lables: ['a'] },
      '"lables": no such key; did you mean "labels"?',
    ],
    ['a key of a model', { ...MANIFEST, models: [{ ...MODEL, acuracy: 0.5 }] }, 'did you mean "accuracy"?'],
    [
      'a key of eval',
      { ...MANIFEST, eval: { format: 'npz', file: 'a', metrics: 'top-1' } },
      'did you mean "metric"?',
    ],
    ['a key that is like no other', { ...MANIFEST, zzzzzzzz: 1 }, '"zzzzzzzz": no such key'],
  ])('names the misspelt key: %s', async (_, manifest, message) => {
    expect(await refusal(manifest)).toContain(message);
  });

  test('says which fields are wrong, what was expected and what was found', async () => {
    const message = await refusal({ ...MANIFEST, kind: 'image', models: [{ ...MODEL, accuracy: 87 }] });
    expect(message).toContain('"kind"');
    expect(message).toContain('"models.0.accuracy"');
    expect(message).toContain('87');
  });

  test.each([
    ['no models', { ...MANIFEST, models: [] }, '"models"'],
    [
      'two models of one name, precision and format',
      { ...MANIFEST, models: [MODEL, MODEL] },
      'found "tiny-fp32-onnx" again',
    ],
    [
      'labels are missing',
      { ...MANIFEST, postprocess: { kind: 'classification', output: 'y', activation: 'none' } },
      '"labels"',
    ],
    ['an IDX rule without labels', { ...MANIFEST, eval: { format: 'idx', images: 'a' } }, '"labels"'],
    ['an npz rule without a file', { ...MANIFEST, eval: { format: 'npz' } }, '"eval.file"'],
    ['a folder rule without a folder', { ...MANIFEST, eval: { format: 'folder' } }, '"eval.directory"'],
    [
      'a tolerance is missing',
      { ...MANIFEST, eval: { format: 'npz', file: 'a', metric: 'within' } },
      '"eval.tolerance"',
    ],
  ])('refuses a manifest in which %s', async (_, manifest, message) => {
    expect(await refusal(manifest)).toContain(message);
  });

  test.each([
    ['top-1', undefined, 'expected "within"'],
    ['within', CLASSIFIER, 'expected "top-1" or "top-5"'],
  ])('refuses the metric %s where it says nothing about the outputs', async (metric, rules, message) => {
    const rule = { format: 'npz', file: 'a', metric, tolerance: 1 };
    expect(await refusal({ ...MANIFEST, ...rules, eval: rule })).toContain(`"eval.metric": ${message}`);
  });

  test.each([
    ['rgb', [0.5, 0.5]],
    ['grayscale', [0.5, 0.5, 0.5]],
  ])('refuses means that are not one, or one a channel: %s', async (channels, mean) => {
    const preprocess = { ...PICTURES, channels, mean };
    expect(await refusal({ ...MANIFEST, preprocess })).toContain('"preprocess.mean"');
  });

  test('refuses a model whose variants would have names that are too long', async () => {
    const models = [MODEL, { ...MODEL, name: 'a'.repeat(61) }];
    expect(await refusal({ ...MANIFEST, models })).toContain('"models.1.name": expected at most 60');
  });

  test('takes little time and few words over a key as long as a book', async () => {
    const startedAt = performance.now();
    expect((await refusal({ ...MANIFEST, ['x'.repeat(1_000_000)]: 1 })).length).toBeLessThan(400);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });

  test('reads labels from a file, and says what is wrong with it', async () => {
    const files = memoryFiles({ 'labels.json': '["cat","dog"]', 'bad.json': '{"cat":1}' });
    expect((await readManifest({ ...MANIFEST, labels: 'labels.json' }, files)).labels).toEqual([
      'cat',
      'dog',
    ]);
    expect(await refusal({ ...MANIFEST, labels: 'bad.json' }, files)).toContain('JSON list of labels');
    expect(await refusal({ ...MANIFEST, labels: 'none.json' }, files)).toContain('none.json');
  });

  test.each([null, 7, 'text', []])('refuses %j, which is no manifest at all', async (json) => {
    await refusal(json);
  });
});
