import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nearfar-reporter-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Runs test files with the reporter in a Vitest of their own. */
function runTests(files: Readonly<Record<string, string>>): { lastLine: string; exitCode: number | null } {
  for (const [name, code] of Object.entries(files)) writeFileSync(join(folder, name), code);
  const reporter = join(ROOT, 'test/support/summary-reporter.ts');
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
  const { stdout, status } = spawnSync(
    process.execPath,
    [vitest, 'run', '--root', folder, '--globals', '--reporter=default', `--reporter=${reporter}`],
    { encoding: 'utf8', cwd: folder },
  );
  return { lastLine: stdout.trimEnd().split('\n').at(-1) ?? '', exitCode: status };
}

test('ends with what passed and exits with 0', () => {
  const result = runTests({ 'a.test.js': "test('a', () => {}); test('b', () => {});" });
  expect(result).toEqual({ lastLine: '2 passed, 0 failed', exitCode: 0 });
});

test('counts skipped tests only when there are some', () => {
  const result = runTests({ 'a.test.js': "test('a', () => {}); test.skip('b', () => {});" });
  expect(result).toEqual({ lastLine: '1 passed, 0 failed, 1 skipped', exitCode: 0 });
});

test('counts a failed test, a file that does not load, a hook that throws and a stray rejection', () => {
  const result = runTests({
    'failed.test.js': "test('a', () => { throw new Error('a'); });",
    'broken.test.js': "import './missing.js';",
    'hook.test.js':
      "describe('s', () => { beforeAll(() => { throw new Error('h'); }); test('b', () => {}); });",
    'stray.test.js': "test('c', () => { Promise.reject(new Error('stray')); });",
  });
  expect(result).toEqual({ lastLine: '1 passed, 4 failed, 1 skipped', exitCode: 1 });
});

test('counts a run without any test as failed', () => {
  expect(runTests({})).toEqual({ lastLine: '0 passed, 1 failed', exitCode: 1 });
});
