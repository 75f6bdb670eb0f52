import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { usageError } from './exit-error.ts';

/** A built package holds pages and models itself; in the repository they have folders of their own. */
const PLACES = import.meta.url.endsWith('.ts')
  ? { package: '../', pages: '../../web/dist/', models: '../../models/', data: '../../../shared/data/' }
  : { package: './', pages: './pages/', models: './models/', data: undefined };

const PACKAGE = absolute(PLACES.package);
const MODELS = absolute(PLACES.models);

/** The version of this command. */
export function version(): string {
  const manifest = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8')) as { version: string };
  return manifest.version;
}

/** Manifests of the sample tasks; empty where they are not installed. */
export function sampleManifests(): string[] {
  if (!existsSync(MODELS)) return [];
  return readdirSync(MODELS)
    .map((task) => join(MODELS, task, 'manifest.json'))
    .filter((path) => existsSync(path))
    .sort();
}

/** A sample picture as a command in this folder may name it: relative where that is shorter. */
export function samplePicture(task: string, name: string): string {
  const path = join(MODELS, task, 'samples', `${name}.png`);
  const here = relative(process.cwd(), path);
  return here.startsWith('..') ? path : here;
}

/** The built console and demo pages, or undefined where they were not built. */
export function pagesDirectory(): string | undefined {
  const pages = absolute(PLACES.pages);
  return existsSync(pages) ? pages : undefined;
}

/** The launcher of this command, to start another one of it. */
export function launcher(): string {
  return join(PACKAGE, 'bin', 'nearfar.js');
}

/** A folder with real test pictures in IDX form: the one given, else `NEARFAR_DATA` or one beside the repository. */
export function dataDirectory(given: string | undefined): string | undefined {
  const beside = PLACES.data === undefined ? undefined : absolute(PLACES.data);
  const places = given === undefined ? [process.env.NEARFAR_DATA, beside] : [given];
  return places.find((place): place is string => place !== undefined && existsSync(join(place, 'mnist')));
}

/**
 * The folder that `data:` in scenarios and eval data sets are looked for in: the one given, which has to be there, else
 * `NEARFAR_DATA` or the one beside the repository; undefined where there is none.
 */
export function dataFolder(given: string | undefined): string | undefined {
  if (given !== undefined && !existsSync(given)) {
    throw usageError(`Expected --data to name a folder, found none at "${given}"`);
  }
  return given ?? (process.env.NEARFAR_DATA || dataDirectory(undefined));
}

function absolute(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}
