import { evalFiles } from './eval-files.ts';
import { readManifest } from './read-manifest.ts';
import { readModels } from './read-models.ts';
import type { SourceFiles } from './source-files.ts';

/**
 * The paths of all files that a registration of a manifest reads, for whoever sends it elsewhere. Reads manifest and models,
 * so that most errors are found before anything is sent.
 */
export async function namedFiles(json: unknown, files: SourceFiles): Promise<readonly string[]> {
  const paths = new Set<string>();
  const recording: SourceFiles = {
    sizeOf: (path) => files.sizeOf(path),
    read: (path) => {
      paths.add(path);
      return files.read(path);
    },
    list: (folder) => files.list(folder),
  };
  const manifest = await readManifest(json, recording);
  await readModels(manifest, recording);
  for (const path of [manifest.golden, ...(manifest.samples ?? [])]) if (path !== undefined) paths.add(path);
  // Data that are missing are no obstacle.
  if (manifest.eval !== undefined) for (const path of await evalFiles(manifest.eval, files)) paths.add(path);
  return [...paths].sort();
}
