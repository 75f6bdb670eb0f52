import { posix } from 'node:path';
import type { SourceFacts } from './source-facts.ts';

/**
 * Gives one line for each import cycle between the files of a package, type imports included: such files
 * can only be read together.
 */
export function checkCycles(folder: string, sources: readonly SourceFacts[]): readonly string[] {
  const targets = new Map(sources.map((source) => [source.path, relativeTargets(source)]));
  const done = new Set<string>();
  const cycles: string[] = [];

  const follow = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start !== -1) {
      cycles.push(`${folder}: cycle ${[...trail.slice(start), path].join(' -> ')}`);
      return;
    }
    if (done.has(path)) return;
    for (const target of targets.get(path) ?? []) follow(target, [...trail, path]);
    done.add(path);
  };

  for (const path of targets.keys()) follow(path, []);
  return cycles;
}

function relativeTargets({ path, specifiers }: SourceFacts): readonly string[] {
  return specifiers
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => posix.join(posix.dirname(path), specifier));
}
