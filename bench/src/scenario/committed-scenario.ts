import { fileURLToPath } from 'node:url';

/** Beside the sources in the repository, in the package's root once it is built. */
const FOLDER = import.meta.url.endsWith('.ts') ? '../../scenarios/' : '../scenarios/';

/** The scenario file of a benchmark, by its folder below `bench/scenarios/`. */
export function committedScenario(folder: string): string {
  return fileURLToPath(new URL(`${FOLDER}${folder}/scenario.json`, import.meta.url));
}
