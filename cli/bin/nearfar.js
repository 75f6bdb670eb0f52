#!/usr/bin/env node
// Starts the nearfar command. Plain JavaScript without dependencies, so that any Node from 20 can run it:
// it only finds the program and a Node that is new enough for it, and hands over.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Set for the second Node, so that a wrong pin ends in an error instead of a loop. */
const REEXEC_MARK = 'NEARFAR_LAUNCHED_BY';

/** The program: TypeScript in the repository, JavaScript where it was built. */
const PROGRAMS = ['../src/main.ts', '../dist/main.js', '../main.js'];

const programUrl = PROGRAMS.map((path) => new URL(path, import.meta.url)).find((url) => existsSync(url));

if (programUrl === undefined) {
  fail('found no program beside it (src/main.ts or main.js): install the package again');
} else if (canRun(programUrl)) {
  hideNoise();
  await start(programUrl);
} else {
  const source = isSource(programUrl);
  const pinnedNode = findPinnedNode();
  if (process.env[REEXEC_MARK] !== undefined || pinnedNode === undefined) {
    const mend = source
      ? 'run "npm install", which brings one'
      : 'update Node, or add one with "npm install node@24"';
    fail(`needs Node ${source ? '22.18' : '22.13'} or newer and runs on ${process.versions.node}: ${mend}`);
  } else {
    handOver(pinnedNode);
  }
}

/** @param {URL} url */
function isSource(url) {
  return url.pathname.endsWith('.ts');
}

/**
 * Says whether this Node runs the program: type stripping is on by default from 22.18 and 23.6,
 * `node:sqlite` needs no flag from 22.13.
 *
 * @param {URL} url
 */
function canRun(url) {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 23) return true;
  if (major === 23) return minor >= (isSource(url) ? 6 : 4);
  return major === 22 && minor >= (isSource(url) ? 18 : 13);
}

/** Finds the Node that the `node` package brought, in the nearest `node_modules` upwards. */
function findPinnedNode() {
  const binary = process.platform === 'win32' ? 'node.exe' : 'node';
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const candidate = join(folder, 'node_modules', 'node', 'bin', binary);
    if (existsSync(candidate)) return candidate;
    const parent = dirname(folder);
    if (parent === folder) return undefined;
    folder = parent;
  }
}

/**
 * Runs the same command line on another Node and ends as it ends.
 *
 * @param {string} nodePath
 */
function handOver(nodePath) {
  const child = spawn(nodePath, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    // The channel closes when this process ends, however; what serves until it is stopped then drains.
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, [REEXEC_MARK]: process.versions.node },
  });

  const forward = (/** @type {NodeJS.Signals} */ signal) => {
    // A terminal sends Ctrl-C to the whole group; a second copy would read as "stop at once".
    if (signal === 'SIGINT' && process.stdin.isTTY) return;
    child.kill(signal);
  };
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, forward);

  child.once('error', (error) => fail(`could not start ${nodePath}: ${error.message}`));
  child.once('exit', (exitCode, signal) => {
    process.exitCode = exitCode ?? 128 + (signal === null ? 0 : constants.signals[signal]);
  });
}

/** Drops the notices that type stripping and `node:sqlite` are experimental; every other warning stays. */
function hideNoise() {
  const emitWarning = /** @type {(...values: unknown[]) => void} */ (process.emitWarning.bind(process));
  process.emitWarning = (/** @type {unknown[]} */ ...values) => {
    const [warning, options] = values;
    const type =
      typeof options === 'object' && options !== null && 'type' in options ? options.type : options;
    const isNoise = type === 'ExperimentalWarning' && /type stripping|sqlite/i.test(String(warning));
    if (!isNoise) emitWarning(...values);
  };
}

/** @param {URL} url */
async function start(url) {
  try {
    await import(url.href);
  } catch (error) {
    const missing = /Cannot find package '([^']+)'/.exec(String(error))?.[1];
    if (missing === undefined) throw error;
    fail(`cannot find the package ${missing}: run "npm install" first`);
  }
}

/** @param {string} reason */
function fail(reason) {
  process.stderr.write(`nearfar: ${reason}\n`);
  process.exitCode = 1;
}
