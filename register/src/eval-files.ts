import type { EvalRule } from '@nearfar/protocol';
import { dataPath } from './data/data-path.ts';
import type { SourceFiles } from './source-files.ts';

/** Paths of those files of an eval rule that are there, relative to the manifest; none where the data are elsewhere. */
export async function evalFiles(rule: EvalRule, files: SourceFiles): Promise<readonly string[]> {
  const { format, directory } = rule;
  if (format === 'folder') return directory === undefined ? [] : await files.list(directory);
  const found: string[] = [];
  for (const field of format === 'npz' ? (['file'] as const) : (['images', 'labels'] as const)) {
    const path = dataPath(rule, field);
    if ((await files.sizeOf(path)) !== undefined) found.push(path);
  }
  return found;
}
