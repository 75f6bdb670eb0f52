import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';

const LAUNCHER = fileURLToPath(new URL('../../../cli/bin/nearfar.js', import.meta.url));

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nearfar-launcher-'));
  write('package.json', '{ "type": "module" }');
  mkdirSync(join(folder, 'bin'));
  cpSync(LAUNCHER, join(folder, 'bin/nearfar.js'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
}

function launch(...programArguments: readonly string[]) {
  const launcher = join(folder, 'bin/nearfar.js');
  const { status, stdout, stderr } = spawnSync(process.execPath, [launcher, ...programArguments], {
    encoding: 'utf8',
  });
  return { exitCode: status, stdout, stderr };
}

test('runs the TypeScript source in the repository, and leaves arguments and exit code to it', () => {
  write(
    'src/main.ts',
    'const from: string = "source"; console.log(from, ...process.argv.slice(2)); process.exitCode = 2;',
  );
  write('dist/main.js', 'console.log("built");');
  expect(launch('infer', '--json')).toEqual({ exitCode: 2, stdout: 'source infer --json\n', stderr: '' });
});

test.each(['dist/main.js', 'main.js'])('runs the built %s where there is no source', (path) => {
  write(path, 'console.log("built");');
  expect(launch()).toEqual({ exitCode: 0, stdout: 'built\n', stderr: '' });
});

test('hides that parts of Node are experimental, but no other warning', () => {
  write(
    'main.js',
    `process.emitWarning('Type Stripping is an experimental feature', 'ExperimentalWarning');
    process.emitWarning('SQLite is an experimental feature', { type: 'ExperimentalWarning' });
    process.emitWarning('look here', 'DeprecationWarning');`,
  );
  const { stderr } = launch();
  expect(stderr).toContain('look here');
  expect(stderr).not.toContain('experimental');
});

test('says in one line which package is missing', () => {
  write('src/main.ts', "import 'not-installed';");
  expect(launch()).toEqual({
    exitCode: 1,
    stdout: '',
    stderr: 'nearfar: cannot find the package not-installed: run "npm install" first\n',
  });
});

test('says in one line that the program is missing', () => {
  const { exitCode, stderr } = launch();
  expect(exitCode).toBe(1);
  expect(stderr.trimEnd().split('\n')).toEqual([expect.stringContaining('found no program beside it')]);
});
