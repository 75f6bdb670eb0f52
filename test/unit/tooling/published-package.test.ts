import { describe, expect, test } from 'vitest';
import { publishedManifest, rewriteUrls } from '../../../scripts/published-package.ts';

describe('the published package.json', () => {
  test('points entries to JavaScript and types, whatever their conditions', () => {
    const manifest = publishedManifest({
      name: '@nearfar/example',
      exports: {
        '.': './src/index.ts',
        './node': { workerd: './src/entry/workerd.ts', default: './src/entry/node.ts' },
        './package.json': './package.json',
      },
    });
    expect(manifest.exports).toEqual({
      '.': { types: './index.d.ts', default: './index.js' },
      './node': {
        workerd: { types: './entry/workerd.d.ts', default: './entry/workerd.js' },
        default: { types: './entry/node.d.ts', default: './entry/node.js' },
      },
      './package.json': './package.json',
    });
  });

  test('keeps engines, bin and dependencies, and drops what is for the repository only', () => {
    const kept = {
      engines: { node: '>=22.13' },
      bin: { nearfar: './bin/nearfar.js' },
      dependencies: { hono: '^4' },
    };
    const manifest = publishedManifest({
      ...kept,
      private: true,
      scripts: { x: 'y' },
      devDependencies: { z: '1' },
    });
    expect(manifest).toEqual({ ...kept, files: expect.any(Array) });
  });
});

describe('URLs beside a module', () => {
  test.each([
    ["new Worker(new URL('./run.ts', import.meta.url))", "new Worker(new URL('./run.js', import.meta.url))"],
    ['new URL("../a/b.worker.ts",import.meta.url)', 'new URL("../a/b.worker.js",import.meta.url)'],
  ])('%s points to the emitted file', (code, expected) => {
    expect(rewriteUrls(code)).toBe(expected);
  });

  test.each(["new URL('./page.html', import.meta.url)", "new URL('./x.ts', base)", "'./x.ts'"])(
    '%s stays',
    (code) => {
      expect(rewriteUrls(code)).toBe(code);
    },
  );
});
