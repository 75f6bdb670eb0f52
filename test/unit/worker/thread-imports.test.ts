import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const SOURCES = new URL('../../../worker/src/', import.meta.url);

/** Packages that a source and what it imports load at once; types and `import()` load nothing. */
function loadedBy(path: string, seen = new Set<string>()): Set<string> {
  const file = new URL(path, SOURCES);
  if (seen.has(file.href)) return new Set();
  seen.add(file.href);
  const packages = new Set<string>();
  const imports = /^(?:import|export)\s(?!type\s)(?:[^'";]*?from\s)?'([^']+)'/gm;
  for (const [, specifier = ''] of readFileSync(file, 'utf8').matchAll(imports)) {
    if (!specifier.startsWith('.')) packages.add(specifier);
    else for (const name of loadedBy(new URL(specifier, file).href, seen)) packages.add(name);
  }
  return packages;
}

const TFJS = expect.stringMatching(/^@tensorflow\//);

test('the main thread loads no runtime of models', () => {
  const packages = [...loadedBy('index.ts')];
  expect(packages).toContain('@nearfar/core');
  expect(packages).not.toContain('onnxruntime-node');
  expect(packages).not.toContainEqual(TFJS);
});

test('an engine thread loads a runtime with the first model of its format, and no package of the mesh', () => {
  expect([...loadedBy('thread/entry.ts')]).toEqual(['node:worker_threads']);
  expect([...loadedBy('thread/onnx-model.ts')]).toEqual(['onnxruntime-node']);
  const tfjs = [...loadedBy('thread/tfjs-model.ts')];
  expect(tfjs).toContainEqual(TFJS);
  expect(tfjs).not.toContain('@tensorflow/tfjs-layers');
  expect(tfjs).not.toContain('onnxruntime-node');
  expect(tfjs.filter((name) => name.startsWith('@nearfar/'))).toEqual([]);
});
