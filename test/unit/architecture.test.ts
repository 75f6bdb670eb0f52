import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { checkCycles } from '../support/architecture/check-cycles.ts';
import { checkDeclarations, checkImports, type Manifest } from '../support/architecture/check-imports.ts';
import { readManifest, readPackage } from '../support/architecture/read-package.ts';
import { PACKAGES, type PackageRules } from '../support/architecture/rules.ts';
import { readSource } from '../support/architecture/source-facts.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MANIFESTS: ReadonlyMap<string, Manifest> = new Map(
  PACKAGES.map(({ folder }) => readManifest(ROOT, folder)).map((manifest) => [manifest.name, manifest]),
);

describe.each(PACKAGES.map((rules) => [rules.folder, rules] as const))('%s', (folder, rules) => {
  const facts = readPackage(ROOT, rules);

  test('imports only what the arrows and its list of libraries allow', () => {
    expect(checkImports(facts, MANIFESTS)).toEqual([]);
  });

  test('has no import cycle', () => {
    expect(checkCycles(folder, facts.sources)).toEqual([]);
  });

  // A package that has only its package.json so far uses nothing yet.
  test.skipIf(facts.sources.length === 0)('declares exactly the packages that it imports', () => {
    expect(checkDeclarations(facts)).toEqual([]);
  });
});

describe('the checks find', () => {
  function violations(folder: string, path: string, code: string): readonly string[] {
    const rules = PACKAGES.find((entry) => entry.folder === folder) as PackageRules;
    const manifest = readManifest(ROOT, folder);
    return checkImports({ rules, manifest, sources: [readSource(path, code)] }, MANIFESTS);
  }

  test.each([
    ['core', "import { readFileSync } from 'node:fs';", 'binds the package to Node'],
    ['core', "import * as v from 'valibot';", 'is not a library of this package'],
    ['core', "export { x } from '@nearfar/coordinator';", 'is against the arrows'],
    ['core', "import type { Estimate } from '@nearfar/core';", 'is against the arrows'],
    ['core', "type Wire = import('@nearfar/protocol/src/errors.ts').MeshError;", 'is not exported by'],
    ['protocol', "import type { Estimate } from '@nearfar/core';", 'is against the arrows'],
    ['protocol', "const zod = await import('zod');", 'is not a library of this package'],
    ['coordinator', "import { WebSocketServer } from 'ws';", 'binds the package to Node'],
    ['coordinator', "export * from '@hono/node-server';", 'binds the package to Node'],
    ['coordinator', "import { DurableObject } from 'cloudflare:workers';", 'binds the package to workerd'],
    ['coordinator', "import { createEdge } from '@nearfar/edge';", 'is against the arrows'],
    ['worker', "import { x } from '../../core/src/index.ts';", 'leaves src'],
    ['worker', "import { join } from 'path';", 'needs the node: prefix'],
    ['gpu-pool', "import { app } from '@nearfar/coordinator';", 'is against the arrows'],
    ['client-sdk', "import fs = require('node:fs');", 'binds the package to Node'],
    ['cli', "import { x } from '#nowhere';", 'is not among the "imports"'],
  ])('in %s the import %s', (folder, code, reason) => {
    expect(violations(folder, 'src/bad.ts', code)).toEqual([expect.stringContaining(reason)]);
  });

  test.each([
    ['core', 'const at = Date.now();', 'Date'],
    ['core', 'const at = new Date(0);', 'Date'],
    ['core', 'const roll = Math.random();', 'Math.random'],
    ['core', "const roll = Math['random']();", 'Math.random'],
    ['core', 'const { random } = Math;', 'Math.random'],
    ['core', 'globalThis.x = 1;', 'globalThis'],
    ['core', 'setTimeout(() => {}, 1);', 'setTimeout'],
    ['core', 'console.log(1);', 'console'],
    ['core', 'const load = () => fetch("x");', 'fetch'],
    ['coordinator', 'const home = process.env.HOME;', 'process'],
    ['coordinator', 'const bytes = Buffer.from("x");', 'Buffer'],
    ['coordinator', 'const here = import.meta.dirname;', 'import.meta.dirname'],
    ['client-sdk', 'const here = __dirname;', '__dirname'],
  ])('in %s the code %s', (folder, code, name) => {
    expect(violations(folder, 'src/bad.ts', code)).toEqual([`${folder}/src/bad.ts: uses ${name}`]);
  });

  test('nothing in comments, strings, property names and the entries and drivers of the coordinator', () => {
    const harmless =
      '// Date.now()\nexport const note = "process.env"; export const at = note.fetch?.Date; type T = { process: 1 };';
    expect(violations('core', 'src/good.ts', harmless)).toEqual([]);
    const nodeCode = "import { WebSocketServer } from 'ws'; import 'node:fs'; process.exit(0);";
    expect(violations('coordinator', 'src/entry/node.ts', nodeCode)).toEqual([]);
    expect(violations('coordinator', 'src/drivers/node/sqlite.ts', nodeCode)).toEqual([]);
    expect(violations('coordinator', 'src/entry/workerd.ts', "import 'cloudflare:workers';")).toEqual([]);
  });

  test('a cycle through type imports and re-exports', () => {
    const sources = [
      readSource('src/a.ts', "import type { B } from './inner/b.ts';"),
      readSource('src/inner/b.ts', "export { c } from '../c.ts';"),
      readSource('src/c.ts', "const a = await import('./a.ts');"),
      readSource('src/d.ts', "import './a.ts';"),
    ];
    expect(checkCycles('core', sources)).toEqual([
      'core: cycle src/a.ts -> src/inner/b.ts -> src/c.ts -> src/a.ts',
    ]);
  });

  test('a package that is imported without being declared, and one that is declared in vain', () => {
    const rules = PACKAGES[0] as PackageRules;
    const manifest = { name: '@nearfar/protocol', dependencies: { valibot: '1', 'crc-32': '1' } };
    const sources = [
      readSource('src/a.ts', "import 'valibot/sub'; import '@scope/name/inner'; import 'node:fs';"),
    ];
    expect(checkDeclarations({ rules, manifest, sources })).toEqual([
      'protocol: @scope/name is not declared',
      'protocol: crc-32 is not used',
    ]);
  });
});
