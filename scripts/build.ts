// Builds what is published: each package's `dist` becomes a package of its own, ready for `npm publish <pkg>/dist`.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { publishedManifest, rewriteUrls } from './published-package.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PACKAGES = [
  'protocol',
  'core',
  'coordinator',
  'worker',
  'register',
  'edge',
  'gpu-pool',
  'client-sdk',
  'bench',
  'cli',
];
/**
 * What a package hands out as it is, besides what its sources become: folders of the repository by their name in the
 * built package. Training and its data are for the repository only.
 */
const EXTRA_FOLDERS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  bench: { scenarios: 'bench/scenarios' },
  cli: { bin: 'cli/bin', pages: 'web/dist', models: 'models' },
};
const LEFT_OUT = join(ROOT, 'models', 'train');

function build(): void {
  // The compiler leaves the output of deleted sources behind, so every build starts from nothing.
  for (const folder of PACKAGES) rmSync(join(ROOT, folder, 'dist'), { recursive: true, force: true });
  compile();
  buildPages();
  for (const folder of PACKAGES) finishPackage(folder);
}

function compile(): void {
  const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  run('tsc -b', [compiler, '-b', ...PACKAGES]);
}

function buildPages(): void {
  const vite = join(ROOT, 'node_modules', 'vite', 'bin', 'vite.js');
  run('vite build web', [vite, 'build', 'web', '--logLevel', 'warn']);
}

function run(name: string, command: readonly string[]): void {
  // Standard output stays empty, so that a script that builds owns it.
  const { status } = spawnSync(process.execPath, command, { cwd: ROOT, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error(`Expected ${name} to succeed, it ended with ${status}`);
}

function finishPackage(folder: string): void {
  const packageFolder = join(ROOT, folder);
  const target = join(packageFolder, 'dist');
  if (!existsSync(join(target, 'index.js')))
    throw new Error(`Expected ${folder}/src/index.ts, found no such entry`);

  copyAssets(join(packageFolder, 'src'), target);
  for (const file of filesUnder(target)) {
    if (file.endsWith('.js')) rewriteFile(join(target, file));
  }
  for (const [name, source] of Object.entries(EXTRA_FOLDERS[folder] ?? {})) {
    cpSync(join(ROOT, source), join(target, name), {
      recursive: true,
      filter: (path) => path !== LEFT_OUT,
    });
  }

  const manifest = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8'));
  writeFileSync(join(target, 'package.json'), `${JSON.stringify(publishedManifest(manifest), null, 2)}\n`);
  cpSync(join(ROOT, 'LICENSE'), join(target, 'LICENSE'));
  const readme = [join(packageFolder, 'README.md'), join(ROOT, 'README.md')].find((path) => existsSync(path));
  if (readme !== undefined) cpSync(readme, join(target, 'README.md'));
  process.stderr.write(`built ${manifest.name} in ${folder}/dist\n`);
}

/** Copies what the compiler does not emit: everything that is not TypeScript. */
function copyAssets(source: string, target: string): void {
  for (const file of filesUnder(source)) {
    if (!file.endsWith('.ts')) cpSync(join(source, file), join(target, file));
  }
}

function filesUnder(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}

function rewriteFile(path: string): void {
  const code = readFileSync(path, 'utf8');
  const rewritten = rewriteUrls(code);
  if (rewritten !== code) writeFileSync(path, rewritten);
}

build();
