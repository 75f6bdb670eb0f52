import type { ArtifactStore } from '@nearfar/core';
import { MeshError, type RegistrationRequest } from '@nearfar/protocol';
import type { SourceFiles } from './source-files.ts';

/** The files of a registration that came over HTTP: paths that stand for artifacts. */
export function artifactFiles(artifacts: ArtifactStore, files: RegistrationRequest['files']): SourceFiles {
  // The paths come from outside; a name such as "constructor" must not find anything.
  const known = new Map(Object.entries(files).map(([path, file]) => [normalise(path), file]));
  return {
    sizeOf: async (path) => known.get(normalise(path))?.sizeBytes,

    read: async (path) => {
      const file = known.get(normalise(path));
      if (file === undefined) {
        throw new MeshError(
          'MESH_BAD_MANIFEST',
          `Expected "files" to say which artifact "${path}" is, found no such entry`,
        );
      }
      return await artifacts.read(file.sha256);
    },

    list: async (folder) => {
      const home = normalise(folder);
      const prefix = home === '' ? '' : `${home}/`;
      return [...known.keys()].filter((path) => path.startsWith(prefix)).sort();
    },
  };
}

/** `./a//b` and `a/b` are one path; one that leaves its folder matches nothing, since no entry has such a name. */
function normalise(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..' && parts.length > 0 && parts.at(-1) !== '..') parts.pop();
    else parts.push(part);
  }
  return parts.join('/');
}
