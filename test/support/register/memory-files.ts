import { MeshError } from '@nearfar/protocol';
import type { SourceFiles } from '@nearfar/register';

/** Source files that are in memory; texts are kept as UTF-8. */
export function memoryFiles(contents: Readonly<Record<string, string | Uint8Array>>): SourceFiles {
  const kept = new Map(
    Object.entries(contents).map(([path, content]) => [
      path,
      typeof content === 'string' ? new TextEncoder().encode(content) : content,
    ]),
  );
  return {
    sizeOf: async (path) => kept.get(path)?.byteLength,
    read: async (path) => {
      const bytes = kept.get(path);
      if (bytes === undefined)
        throw new MeshError('MESH_BAD_MANIFEST', `Expected a file at "${path}", found none`);
      return bytes;
    },
    list: async (folder) => [...kept.keys()].filter((path) => path.startsWith(`${folder}/`)).sort(),
  };
}
