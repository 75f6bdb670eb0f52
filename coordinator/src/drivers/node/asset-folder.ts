import { readFile } from 'node:fs/promises';
import { extname, resolve, sep } from 'node:path';
import type { AssetSource } from '../../options.ts';

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.ico': 'image/x-icon',
  '.wasm': 'application/wasm',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
};

/** What the system says of a path at which no file can be: it is the caller's path, not our disk, that is at fault. */
const BAD_PATH_CODES: ReadonlySet<string> = new Set([
  'ENOENT',
  'EISDIR',
  'ENOTDIR',
  'ENAMETOOLONG',
  'ELOOP',
  'EINVAL',
]);

/** The files under `folder`. A path that leads out of it is a file that does not exist. */
export function openAssetFolder(folder: string): AssetSource {
  const root = resolve(folder);
  return {
    read: async (path) => {
      const file = resolve(root, decodePath(path));
      const contentType = CONTENT_TYPES[extname(file).toLowerCase()];
      if (!file.startsWith(root + sep) || contentType === undefined) return undefined;
      try {
        return { bytes: await readFile(file), contentType };
      } catch (error) {
        if (BAD_PATH_CODES.has((error as NodeJS.ErrnoException).code ?? '')) return undefined;
        throw error;
      }
    },
  };
}

/** A path that is not well encoded, or holds a null byte, names no file. */
function decodePath(path: string): string {
  try {
    const decoded = decodeURIComponent(path);
    return decoded.includes('\0') ? '..' : decoded;
  } catch {
    return '..';
  }
}
