import { MeshError } from '@nearfar/protocol';
import { readManifest, type SourceFiles } from '@nearfar/register';
import { describe, expect, test } from 'vitest';
import { memoryFiles } from '../../support/register/memory-files.ts';

const MODEL = { name: 'tiny', format: 'onnx', path: 'tiny.onnx', licence: 'MIT' };
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
