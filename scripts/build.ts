// Builds what is published: each package's `dist` becomes a package of its own, ready for `npm publish <pkg>/dist`.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { publishedManifest, rewriteUrls } from './published-package.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PACKAGES = ['protocol', 'core', 'coordinator', 'worker', 'edge', 'gpu-pool', 'client-sdk', 'cli'];
/** Beside the sources, the folders that a package hands out as they are. */
const EXTRA_FOLDERS = ['bin'];

function build(): void {
  // The compiler leaves the output of deleted sources behind, so every build starts from nothing.
  for (const folder of PACKAGES) rmSync(join(ROOT, folder, 'dist'), { recursive: true, force: true });
  compile();
  for (const folder of PACKAGES) finishPackage(folder);
}

function compile(): void {
  const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const { status } = spawnSync(process.execPath, [compiler, '-b'], { cwd: ROOT, stdio: 'inherit' });
  if (status !== 0) throw new Error(`Expected tsc -b to succeed, it ended with ${status}`);
}

function finishPackage(folder: string): void {
  const packageFolder = join(ROOT, folder);
  const target = join(packageFolder, 'dist');
  if (!existsSync(join(target, 'index.js')))
    throw new Error(`Expected ${folder}/src/index.ts, found no such entry`);

  copyAssets(join(packageFolder, 'src'), target);
  for (const extra of EXTRA_FOLDERS) {
    const source = join(packageFolder, extra);
    if (existsSync(source)) cpSync(source, join(target, extra), { recursive: true });
  }
  for (const file of filesUnder(target)) {
    if (file.endsWith('.js')) rewriteFile(join(target, file));
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
