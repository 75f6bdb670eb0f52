import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import type { Manifest, PackageFacts } from './check-imports.ts';
import type { PackageRules } from './rules.ts';
import { readSource } from './source-facts.ts';

/** Reads the package.json of a package. */
export function readManifest(root: string, folder: string): Manifest {
  return JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
}

/** Reads and parses every source file under `src` of a package. */
export function readPackage(root: string, rules: PackageRules): PackageFacts {
  const sourceFolder = join(root, rules.folder, 'src');
  const files = existsSync(sourceFolder)
    ? readdirSync(sourceFolder, { recursive: true, encoding: 'utf8' })
    : [];
  const sources = files
    .map((file) => posix.join('src', file.replaceAll('\\', '/')))
    .filter((path) => /\.(ts|tsx|js|mjs)$/.test(path))
    .sort()
    .map((path) => readSource(path, readFileSync(join(root, rules.folder, path), 'utf8')));
  return { rules, manifest: readManifest(root, rules.folder), sources };
}
