// Makes a fresh clone ready: `prestart` and `pretest` run it. Plain JavaScript without dependencies, since
// it runs on whatever Node (20 or newer) and npm are there, before anything is installed.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findChromium } from '../cli/bin/find-chromium.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const BIN = join(ROOT, 'node_modules', '.bin');
const IS_WINDOWS = process.platform === 'win32';
const INSTALL_TIMEOUT_MS = 30 * 60_000;
const DOWNLOAD_TIMEOUT_MS = 5 * 60_000;
/** Set for everything started from here, so that a script which runs npm again does not come back. */
const RUNNING_MARK = 'NEARFAR_BOOTSTRAP';

const purpose = process.argv[2] ?? 'install';

if (!['install', 'start', 'test'].includes(purpose)) {
  say(`expected install, start or test, found "${purpose}"`);
  process.exitCode = 2;
} else if (process.env[RUNNING_MARK] === undefined) {
  process.exitCode = prepare() ? 0 : 1;
}

function prepare() {
  if (!installPackages()) return false;
  if (purpose === 'install') return true;
  if (!buildPages()) return false;
  if (purpose === 'test') {
    provideChromium();
    provideVulkanLoader();
  }
  return true;
}

/** Installs what package-lock.json names, if it is not there already. */
function installPackages() {
  const reason = reasonToInstall();
  if (reason === undefined) return true;

  // `npm ci` starts from an empty folder. Where packages are there already, something may be running
  // from them (this very Node, for one), so only the difference is installed then.
  const mode = existsSync(join(ROOT, 'node_modules')) ? ['install', '--no-save'] : ['ci'];
  // The pinned Node and the builders are development packages: NODE_ENV=production must not drop them.
  // Below `error`, npm on Node 20 warns of every package that the pinned Node is there for.
  const npmArguments = [...mode, '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  say(`${reason}; running "npm ${mode.join(' ')}" (once, a few minutes)`);
  const done = run('npm', npmArguments, {
    timeoutMs: INSTALL_TIMEOUT_MS,
    // The package would fetch CUDA libraries from outside the registry; the CPU ones are bundled.
    env: { ONNXRUNTIME_NODE_INSTALL: 'skip' },
    path: pathWithoutLocalBin(),
  });
  if (!done) {
    say('the packages could not be installed: see the messages of npm above. Is the registry reachable?');
    return false;
  }
  if (!existsSync(pinnedNode())) {
    say('npm did not install the pinned Node (the "node" package): are install scripts switched off? Try');
    say('"npm ci --ignore-scripts=false".');
    return false;
  }
  return true;
}

/** Compares what npm says it installed with the lock file; undefined if nothing is to be done. */
function reasonToInstall() {
  const installedPath = join(ROOT, 'node_modules', '.package-lock.json');
  if (!existsSync(installedPath)) return 'packages are not installed yet';
  if (!existsSync(pinnedNode())) return 'the pinned Node is missing';

  const wanted = readPackages(join(ROOT, 'package-lock.json'));
  const installed = readPackages(installedPath);
  const changed = Object.entries(wanted).find(([path, entry]) => {
    if (path === '') return false;
    const found = installed[path];
    // Builds for other platforms are in the lock file but are rightly not installed.
    if (found === undefined) return entry.optional !== true && entry.devOptional !== true;
    return found.version !== entry.version;
  });
  return changed === undefined ? undefined : `package-lock.json changed (${changed[0]})`;
}

/**
 * @param {string} path
 * @returns {Record<string, { version?: string, optional?: boolean, devOptional?: boolean }>}
 */
function readPackages(path) {
  return JSON.parse(readFileSync(path, 'utf8')).packages;
}

function pinnedNode() {
  return join(ROOT, 'node_modules', 'node', 'bin', IS_WINDOWS ? 'node.exe' : 'node');
}

/** Builds the console and demo pages if they are missing or older than what they are made of. */
function buildPages() {
  if (!existsSync(join(ROOT, 'web', 'index.html'))) return true;

  const builtAtMs = newestChangeMs([join(ROOT, 'web', 'dist')]);
  const sources = ['web', 'client-sdk/src', 'core/src', 'protocol/src', 'package-lock.json'];
  if (newestChangeMs(sources.map((path) => join(ROOT, path))) < builtAtMs) return true;

  say(`${builtAtMs === 0 ? 'building' : 'rebuilding'} the web pages`);
  const vite = join(ROOT, 'node_modules', 'vite', 'bin', 'vite.js');
  const path = [BIN, process.env.PATH].join(delimiter);
  const done = run(pinnedNode(), [vite, 'build', 'web', '--logLevel', 'warn'], {
    timeoutMs: DOWNLOAD_TIMEOUT_MS,
    path,
  });
  if (!done) say('the web pages could not be built: see the messages above');
  return done;
}

/**
 * Gives the latest change under the paths in milliseconds since the epoch; 0 if none of them exists.
 * Folders count too, so that a deleted file is noticed.
 *
 * @param {string[]} paths
 */
function newestChangeMs(paths) {
  let newest = 0;
  for (const path of paths) {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats === undefined) continue;
    newest = Math.max(newest, stats.isDirectory() ? newestChangeMs(children(path)) : 0, stats.mtimeMs);
  }
  return newest;
}

/** @param {string} folder */
function children(folder) {
  return readdirSync(folder)
    .filter((name) => name !== 'node_modules' && name !== 'dist')
    .map((name) => join(folder, name));
}

/** Looks for a Chromium and, where there is none, tries the ways to get one. Never fails: see `tellNone`. */
function provideChromium() {
  if (findChromium() !== undefined) return;
  if (process.env.NEARFAR_CHROMIUM) {
    tellNone(`NEARFAR_CHROMIUM is "${process.env.NEARFAR_CHROMIUM}", which does not start`);
    return;
  }
  installDebianChromium();
  if (findChromium() !== undefined) return;
  installPlaywrightChromium();
  if (findChromium() !== undefined) return;
  tellNone('no Chromium was found and none could be installed');
}

/** @param {string} reason */
function tellNone(reason) {
  const consequence = process.env.CI === 'true' ? 'fail, as CI=true' : 'are skipped';
  say(`${reason}: the browser tests ${consequence}. Install Chromium or point NEARFAR_CHROMIUM at one.`);
}

function installDebianChromium() {
  installDebianPackage('chromium', 'for the browser tests');
}

/** Lets onnxruntime's WebGPU find the software adapter that Debian's chromium package brings. Never fails. */
function provideVulkanLoader() {
  const hasAdapter = existsSync('/usr/lib/chromium/vk_swiftshader_icd.json');
  const hasLoader = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64'].some((folder) =>
    existsSync(join(folder, 'libvulkan.so.1')),
  );
  if (hasAdapter && !hasLoader) installDebianPackage('libvulkan1', 'for the tests of WebGPU on Node');
}

/**
 * Installs a package where that needs no questions: as root on a Debian. Elsewhere nothing happens.
 *
 * @param {string} name
 * @param {string} reason
 */
function installDebianPackage(name, reason) {
  if (process.platform !== 'linux' || process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return;
  say(`installing the ${name} package ${reason} (apt-get)`);
  const options = {
    timeoutMs: DOWNLOAD_TIMEOUT_MS,
    env: { DEBIAN_FRONTEND: 'noninteractive' },
  };
  const network = [
    '-q',
    '-o',
    'Acquire::Retries=1',
    '-o',
    'Acquire::http::Timeout=30',
    '-o',
    'DPkg::Lock::Timeout=60',
  ];
  const install = [...network, 'install', '-y', '--no-install-recommends', name];
  if (run('apt-get', install, options)) return;
  if (run('apt-get', [...network, 'update'], options)) run('apt-get', install, options);
}

function installPlaywrightChromium() {
  say("downloading Playwright's Chromium for the browser tests");
  const command = join(ROOT, 'node_modules', 'playwright-core', 'cli.js');
  run(pinnedNode(), [command, 'install', '--no-shell', 'chromium'], { timeoutMs: DOWNLOAD_TIMEOUT_MS });
}

/**
 * Runs a program with its output on standard error: standard output belongs to the script that follows.
 *
 * @param {string} command
 * @param {string[]} commandArguments
 * @param {{ timeoutMs: number, env?: Record<string, string>, path?: string }} options
 * @returns {boolean} whether it ended well
 */
function run(command, commandArguments, { timeoutMs, env, path = process.env.PATH }) {
  const { status, error } = spawnSync(command, commandArguments, {
    cwd: ROOT,
    stdio: ['ignore', 2, 2],
    timeout: timeoutMs,
    env: { ...process.env, ...env, PATH: path, [RUNNING_MARK]: purpose },
    // On Windows npm is a batch file, which only a shell starts.
    shell: IS_WINDOWS && command === 'npm',
  });
  if (error !== undefined) say(`${command}: ${error.message}`);
  return status === 0;
}

/** npm must not run on the Node that it may be about to replace. */
function pathWithoutLocalBin() {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => !folder.startsWith(join(ROOT, 'node_modules')))
    .join(delimiter);
}

/** @param {string} line */
function say(line) {
  process.stderr.write(`nearfar: ${line}\n`);
}
