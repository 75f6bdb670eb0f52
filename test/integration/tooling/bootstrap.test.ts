import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** Notes its arguments and installs what the lock file names, as npm would. */
const NPM = `#!/bin/sh
echo "$@" >> npm-calls
mkdir -p node_modules/node/bin
touch node_modules/node/bin/node
cp package-lock.json node_modules/.package-lock.json
`;

let clone = '';
beforeEach(() => {
  clone = mkdtempSync(join(tmpdir(), 'nearfar-bootstrap-'));
  for (const path of ['scripts/bootstrap.mjs', 'cli/bin/find-chromium.js', 'cli/package.json']) {
    mkdirSync(dirname(join(clone, path)), { recursive: true });
    cpSync(join(ROOT, path), join(clone, path));
  }
  writeLock('1.0.0');
  provideNpm(NPM);
});
afterEach(() => rmSync(clone, { recursive: true }));

function writeLock(version: string): void {
  const packages = {
    '': { name: 'clone' },
    'node_modules/some': { version },
    'node_modules/for-another-platform': { version: '1.0.0', optional: true },
  };
  writeFileSync(join(clone, 'package-lock.json'), JSON.stringify({ packages }));
}

function provideNpm(script: string): void {
  mkdirSync(join(clone, 'tools'), { recursive: true });
  writeFileSync(join(clone, 'tools', 'npm'), script);
  chmodSync(join(clone, 'tools', 'npm'), 0o755);
}

function bootstrap(purpose: string, env: Readonly<Record<string, string>> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/bootstrap.mjs', purpose], {
    cwd: clone,
    encoding: 'utf8',
    env: { PATH: [join(clone, 'tools'), process.env.PATH].join(delimiter), ...env },
  });
  return { exitCode: status, stdout, stderr };
}

function npmCalls(): readonly string[] {
  const path = join(clone, 'npm-calls');
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
}

test('installs from the lock file on a fresh clone, and nothing the second time', () => {
  expect(bootstrap('install')).toMatchObject({ exitCode: 0, stdout: '' });
  expect(npmCalls()).toEqual(['ci --include=dev --no-audit --no-fund --loglevel=error']);
  expect(bootstrap('install')).toEqual({ exitCode: 0, stdout: '', stderr: '' });
  expect(npmCalls()).toHaveLength(1);
});

test('installs the difference when the lock file changed, without emptying the folder', () => {
  bootstrap('install');
  writeLock('2.0.0');
  const { exitCode, stderr } = bootstrap('install');
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: expect.stringContaining('node_modules/some') });
  expect(npmCalls()[1]).toBe('install --no-save --include=dev --no-audit --no-fund --loglevel=error');
});

test('fails with a reason when npm fails', () => {
  provideNpm('#!/bin/sh\nexit 1\n');
  const { exitCode, stderr } = bootstrap('start');
  expect(exitCode).toBe(1);
  expect(stderr).toContain('the packages could not be installed');
});

test('fails with a reason when npm skipped the pinned Node', () => {
  provideNpm('#!/bin/sh\nmkdir -p node_modules\ncp package-lock.json node_modules/.package-lock.json\n');
  const { exitCode, stderr } = bootstrap('start');
  expect(exitCode).toBe(1);
  expect(stderr).toContain('did not install the pinned Node');
});

test('does nothing when a script that it started runs it again', () => {
  expect(bootstrap('start', { NEARFAR_BOOTSTRAP: 'start' })).toEqual({ exitCode: 0, stdout: '', stderr: '' });
  expect(npmCalls()).toEqual([]);
});

test('prepares the tests without a browser, and says what becomes of the browser tests', () => {
  const { exitCode, stderr } = bootstrap('test', { NEARFAR_CHROMIUM: '/missing/chromium' });
  expect(exitCode).toBe(0);
  expect(stderr).toContain('NEARFAR_CHROMIUM is "/missing/chromium", which does not start');
  expect(stderr).toContain('are skipped');
});

test('refuses an unknown purpose as a usage error', () => {
  expect(bootstrap('deploy').exitCode).toBe(2);
});
