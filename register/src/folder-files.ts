import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { LIMITS, MeshError } from '@nearfar/protocol';
import type { SourceFiles } from './source-files.ts';

/**
 * Files below folders of this machine: each path is looked for in the first folder, then in the next. Nothing outside them
 * is ever read; a symbolic link inside one is its owner's business.
 */
export function folderFiles(folders: readonly string[]): SourceFiles {
  const roots = folders.map((folder) => resolve(folder));
  const isInside = (place: string, root: string) =>
    place === root || place.startsWith(root.endsWith(sep) ? root : root + sep);

  const placesOf = (path: string) =>
    roots.map((root) => {
      const place = resolve(root, path);
      if (isInside(place, root)) return place;
      throw new MeshError(
        'MESH_BAD_MANIFEST',
        `Expected "${path}" to lie in the manifest's folder, found a path that leaves it; copy the file there or name its folder with --files`,
      );
    });

  /** The first place with a file at `path`. */
  const find = async (path: string) => {
    for (const place of placesOf(path)) {
      const found = await stat(place).catch(() => undefined);
      if (found?.isFile()) return { place, sizeBytes: found.size };
    }
    return undefined;
  };

  return {
    sizeOf: async (path) => (await find(path))?.sizeBytes,

    read: async (path) => {
      const file = await find(path);
      if (file === undefined) {
        throw new MeshError(
          'MESH_BAD_MANIFEST',
          `Expected a file at "${path}", found none in ${roots.map((root) => `"${root}"`).join(' or ')}`,
        );
      }
      if (file.sizeBytes > LIMITS.maxArtifactBytes) {
        throw new MeshError(
          'MESH_BAD_MANIFEST',
          `Expected "${path}" to have at most ${LIMITS.maxArtifactBytes} bytes, found ${file.sizeBytes}`,
        );
      }
      try {
        return await readFile(file.place);
      } catch (cause) {
        throw new MeshError('MESH_BAD_MANIFEST', `Cannot read "${path}": ${(cause as Error).message}`, {
          cause,
        });
      }
    },

    list: async (folder) => {
      for (const place of placesOf(folder)) {
        const names = await filesBelow(place, new Set());
        if (names.length > 0) return names.map((name) => join(folder, name).split(sep).join('/')).sort();
      }
      return [];
    },
  };
}

/** Files below a folder, relative to it. Links are followed, but into no folder that is open already. */
async function filesBelow(folder: string, open: ReadonlySet<string>): Promise<string[]> {
  const real = await whereThere(() => realpath(folder));
  if (real === undefined || open.has(real)) return [];
  const names: string[] = [];
  for (const entry of (await whereThere(() => readdir(real, { withFileTypes: true }))) ?? []) {
    const place = join(real, entry.name);
    const kind = entry.isSymbolicLink() ? await whereThere(() => stat(place)) : entry;
    // A link to nowhere is listed, so that whoever reads it is told.
    if (kind === undefined || kind.isFile()) names.push(entry.name);
    else if (kind.isDirectory()) {
      const below = await filesBelow(place, new Set([...open, real]));
      names.push(...below.map((name) => join(entry.name, name)));
    }
  }
  return names;
}

/** What `look` finds; undefined when there is nothing. A folder that may not be read is an error: data would be missing. */
async function whereThere<Found>(look: () => Promise<Found>): Promise<Found | undefined> {
  try {
    return await look();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new MeshError('MESH_BAD_MANIFEST', `Cannot list a folder of data: ${message}`, { cause });
  }
}
