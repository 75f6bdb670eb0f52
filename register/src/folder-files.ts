import { readdir, readFile, stat } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { LIMITS, MeshError } from '@nearfar/protocol';
import type { SourceFiles } from './source-files.ts';

/**
 * Files below folders of this machine: each path is looked for in the first folder, then in the next. Nothing outside them
 * is ever read; a symbolic link inside one is its owner's business.
 */
export function folderFiles(folders: readonly string[]): SourceFiles {
  const roots = folders.map((folder) => resolve(folder));

  const placesOf = (path: string) =>
    roots.map((root) => {
      const place = resolve(root, path);
      if (place === root || place.startsWith(root + sep)) return place;
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
        const entries = await readdir(place, { recursive: true, withFileTypes: true }).catch(() => undefined);
        if (entries === undefined) continue;
        return entries
          .filter((entry) => entry.isFile())
          .map((entry) => join(folder, entry.parentPath.slice(place.length), entry.name).split(sep).join('/'))
          .sort();
      }
      return [];
    },
  };
}
