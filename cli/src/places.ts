import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder that holds the packages: the repository, or the folder of the installed package. */
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Manifests of the sample tasks; empty where they are not installed. */
export function sampleManifests(): string[] {
  const models = join(ROOT, 'models');
  if (!existsSync(models)) return [];
  return readdirSync(models)
    .map((task) => join(models, task, 'manifest.json'))
    .filter((path) => existsSync(path))
    .sort();
}

/** A sample picture as a command in this folder may name it: relative where that is shorter. */
export function samplePicture(task: string, name: string): string {
  const path = join(ROOT, 'models', task, 'samples', `${name}.png`);
  const here = relative(process.cwd(), path);
  return here.startsWith('..') ? path : here;
}

/** The built console and demo pages, or undefined where they were not built. */
export function pagesDirectory(): string | undefined {
  const pages = join(ROOT, 'web', 'dist');
  return existsSync(pages) ? pages : undefined;
}

/** The launcher of this command, to start another one of it. */
export function launcher(): string {
  return join(ROOT, 'cli', 'bin', 'nearfar.js');
}

/** A folder with real test pictures in IDX form: the one given, else `NEARFAR_DATA` or one beside the repository. */
export function dataDirectory(given: string | undefined): string | undefined {
  const places =
    given === undefined ? [process.env.NEARFAR_DATA, join(dirname(ROOT), 'shared', 'data')] : [given];
  return places.find((place): place is string => place !== undefined && existsSync(join(place, 'mnist')));
}
