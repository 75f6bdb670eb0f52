// Finds a Chromium to drive. Plain JavaScript without dependencies: the bootstrap needs it before
// anything is installed, the tests and `nearfar demo` share it.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

/**
 * Flags that give headless Chromium a WebGPU adapter without a GPU and keep it from talking to anyone
 * but the page under test. The sandbox does not start for root, so it is off for root only.
 */
export const CHROMIUM_FLAGS = Object.freeze([
  '--enable-unsafe-webgpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
]);

const COMMANDS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
/** Cold start from a slow disk takes seconds; a stub that asks for input never answers. */
const VERSION_TIMEOUT_MS = 20_000;

/**
 * Finds a Chromium or Chrome that starts: `NEARFAR_CHROMIUM` and nothing else if it is set, then the
 * `PATH`, then the usual places of the platform, then what Playwright downloaded.
 *
 * @returns {string | undefined} the path of the executable
 */
export function findChromium() {
  const chosen = process.env.NEARFAR_CHROMIUM;
  const candidates = chosen ? [chosen] : [...onPath(), ...usualPlaces(), ...playwrightDownloads()];
  return candidates.find((path) => isExecutable(path) && starts(path));
}

function onPath() {
  if (process.platform === 'win32') return [];
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return COMMANDS.flatMap((command) => folders.map((folder) => join(folder, command)));
}

function usualPlaces() {
  if (process.platform === 'darwin') {
    return ['/Applications', join(homedir(), 'Applications')].flatMap((folder) => [
      join(folder, 'Google Chrome.app/Contents/MacOS/Google Chrome'),
      join(folder, 'Chromium.app/Contents/MacOS/Chromium'),
    ]);
  }
  if (process.platform === 'win32') {
    const { LOCALAPPDATA, PROGRAMFILES, 'PROGRAMFILES(X86)': programFilesX86 } = process.env;
    return [PROGRAMFILES, programFilesX86, LOCALAPPDATA]
      .filter((folder) => folder !== undefined)
      .flatMap((folder) => [
        join(folder, 'Google/Chrome/Application/chrome.exe'),
        join(folder, 'Chromium/Application/chrome.exe'),
      ]);
  }
  return [];
}

/** Playwright keeps `chromium-<revision>/chrome-<platform>/…` in one folder per user; newest first. */
function playwrightDownloads() {
  const folder = process.env.PLAYWRIGHT_BROWSERS_PATH || playwrightFolder();
  return list(folder)
    .filter((name) => /^chromium-\d+$/.test(name))
    .sort((left, right) => Number(right.slice(9)) - Number(left.slice(9)))
    .flatMap((name) =>
      list(join(folder, name))
        .filter((inner) => inner.startsWith('chrome-'))
        .flatMap((inner) =>
          [
            'chrome',
            'chrome.exe',
            'Google Chrome for Testing.app/Contents/MacOS/Google Chrome for Testing',
          ].map((file) => join(folder, name, inner, file)),
        ),
    );
}

function playwrightFolder() {
  if (process.platform === 'darwin') return join(homedir(), 'Library/Caches/ms-playwright');
  if (process.platform === 'win32') return join(process.env.LOCALAPPDATA ?? homedir(), 'ms-playwright');
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'ms-playwright');
}

/** @param {string} folder */
function list(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return []; // No such folder: nothing was downloaded.
  }
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/**
 * Some systems install a script named `chromium-browser` that only says where to get the browser, so
 * the file has to answer. On Windows `--version` opens a window instead; there the file is enough.
 *
 * @param {string} path
 */
function starts(path) {
  if (process.platform === 'win32') return true;
  const { status, stdout } = spawnSync(path, ['--version'], {
    encoding: 'utf8',
    timeout: VERSION_TIMEOUT_MS,
  });
  return status === 0 && /Chrom/.test(stdout);
}
