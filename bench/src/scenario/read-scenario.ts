import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { type GenericSchema, getDotPath, type InferOutput, safeParse } from 'valibot';
import { badScenario } from './bad-scenario.ts';
import { checkMachines } from './check-machines.ts';
import { gammaArrivals } from './gamma-arrivals.ts';
import { readProfiles } from './read-profiles.ts';
import { readTrace } from './read-trace.ts';
import { withSlos } from './request-slos.ts';
import type { FleetClass, ProfileRow, Scenario, ScenarioTask } from './scenario.ts';
import { type ScenarioFile, scenarioSchema } from './schema.ts';

/** A scenario file names others; a larger one holds something else. */
const MAX_SCENARIO_BYTES = 4 * 1024 * 1024;
/** A file whose name begins like this lies in the folder with data sets. */
const DATA_PREFIX = 'data:';
/** Windows of a report where the scenario does not say how long they are. */
const WINDOWS = 120;
/** Seconds between two requests of a caller, of which the number of callers follows where it is not given. */
const SECONDS_BETWEEN_REQUESTS = 2;
/** Shares may add up to this, since three thirds in decimals are a little more or less than 1. */
const SUM_MARGIN = 1e-6;

export interface ReadScenarioOptions {
  /** Takes the place of the file's seed. */
  readonly seed?: number;
  /** Folder that files named `data:…` are in. */
  readonly dataFolder?: string;
}

/**
 * Reads a scenario with all its files. Paths are relative to the scenario file; `data:` at the beginning of a path stands
 * for the folder with data sets.
 *
 * @throws MeshError `MESH_BAD_SCENARIO` that names file, line and field.
 */
export async function readScenario(file: string, options: ReadScenarioOptions = {}): Promise<Scenario> {
  const content = check(file, scenarioSchema, await readJson(file));
  checkTasks(file, content);
  checkMachines(file, content);
  const seed = options.seed ?? content.seed;
  const place = (path: string, field: string) => resolvePath(file, path, field, options.dataFolder);
  const names = content.tasks.map(({ task }) => task);
  const profiles = await readProfiles(place(content.profiles, 'profiles'), names);
  const fleet = content.fleet.map((entry, index) => fleetClass(file, entry, index));
  checkClasses(file, content, profiles);
  checkCascades(file, content, profiles);

  const tasks: ScenarioTask[] = [];
  let durationMs = 0;
  for (const [index, { trace, ...task }] of content.tasks.entries()) {
    // Each task has chances of its own, so that two with the same trace do not come at the same moments.
    const ownSeed = seed + index * 1_000_003;
    if (trace.format === 'gamma') {
      const arrivals = gammaArrivals(trace, ownSeed);
      if (arrivals.length === 0) {
        throw badScenario({ file, field: `tasks.${index}.trace` }, 'Expected at least one arrival, got none');
      }
      tasks.push({ ...task, arrivals: withSlos(arrivals, task.slos, ownSeed) });
      durationMs = Math.max(durationMs, trace.seconds * 1_000);
    } else {
      const read = await readTrace(place(trace.file, `tasks.${index}.trace.file`), trace, ownSeed);
      tasks.push({ ...task, arrivals: withSlos(read.arrivals, task.slos, ownSeed) });
      durationMs = Math.max(durationMs, read.durationMs);
    }
  }
  const requests = tasks.reduce((sum, { arrivals }) => sum + arrivals.length, 0);
  const { deviceClasses, requestsPerCaller, energyUsdPerHour, cachedShare, callersAtOnce } = content.browsers;
  const callers = Math.round((requests / durationMs) * 1_000 * SECONDS_BETWEEN_REQUESTS);
  return {
    seed,
    name: content.name ?? basename(file, '.json'),
    durationMs,
    windowSeconds: content.windowSeconds ?? Math.max(1, Math.ceil(durationMs / 1_000 / WINDOWS)),
    tasks,
    profiles,
    fleet,
    browsers: {
      deviceClasses,
      requestsPerCaller,
      energyUsdPerHour,
      cachedShare,
      callersAtOnce: callersAtOnce ?? Math.max(1, callers),
    },
    network: { ...content.network, bytesPerMs: content.network.bytesPerMs ?? Number.POSITIVE_INFINITY },
    ...(content.machines !== undefined && { machines: content.machines }),
    egressUsdPerGb: content.egressUsdPerGb,
    requestUsdPerMillion: content.requestUsdPerMillion,
  };
}

async function readJson(file: string): Promise<unknown> {
  let text: string;
  try {
    const { size } = await stat(file);
    if (size > MAX_SCENARIO_BYTES) {
      throw new RangeError(`expected at most ${MAX_SCENARIO_BYTES / 1024 / 1024} MiB, found ${size} bytes`);
    }
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw badScenario({ file }, `Cannot read the file: ${(cause as Error).message}`, cause);
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw badScenario({ file }, `Expected JSON: ${(cause as Error).message}`, cause);
  }
}

function check<Schema extends GenericSchema>(
  file: string,
  schema: Schema,
  input: unknown,
): InferOutput<Schema> {
  const result = safeParse(schema, input);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const field = getDotPath(issue) ?? undefined;
  throw badScenario({ file, ...(field !== undefined && { field }) }, issue.message);
}

function checkTasks(file: string, { tasks, browsers, network }: ScenarioFile): void {
  for (const [index, { task }] of tasks.entries()) {
    const first = tasks.findIndex((other) => other.task === task);
    if (first === index) continue;
    throw badScenario({ file, field: `tasks.${index}.task` }, `The task "${task}" is there twice`);
  }
  const sum = (shares: readonly { readonly share: number }[]) =>
    shares.reduce((total, { share }) => total + share, 0);
  for (const [index, { slos }] of tasks.entries()) {
    if (slos === undefined || Math.abs(sum(slos) - 1) <= SUM_MARGIN) continue;
    throw badScenario(
      { file, field: `tasks.${index}.slos` },
      `Expected shares that add up to 1, found ${sum(slos)}`,
    );
  }
  const capable = sum(browsers.deviceClasses);
  if (capable > 1 + SUM_MARGIN) {
    throw badScenario(
      { file, field: 'browsers.deviceClasses' },
      `Expected shares that add up to at most 1, found ${capable}`,
    );
  }
  const all = sum(network.rtts);
  if (Math.abs(all - 1) > SUM_MARGIN) {
    throw badScenario({ file, field: 'network.rtts' }, `Expected shares that add up to 1, found ${all}`);
  }
}

function fleetClass(file: string, entry: ScenarioFile['fleet'][number], index: number): FleetClass {
  const { count, min = count, max = Math.max(count, min) } = entry;
  const field = (name: string) => ({ file, field: `fleet.${index}.${name}` });
  if (max < 1) throw badScenario(field('count'), 'Expected at least one worker, found 0');
  if (min > count) throw badScenario(field('min'), `Expected at most the count, ${count}, found ${min}`);
  if (max < count) throw badScenario(field('max'), `Expected at least the count, ${count}, found ${max}`);
  return { ...entry, min, max, memoryBytes: entry.memoryBytes ?? Number.POSITIVE_INFINITY };
}

/** Every class has to have run something, and every task has to run somewhere. */
function checkClasses(
  file: string,
  { tasks, fleet, browsers }: ScenarioFile,
  profiles: readonly ProfileRow[],
): void {
  const known = new Set(profiles.map(({ deviceClass }) => deviceClass));
  const named = [
    ...fleet.map(({ deviceClass, tier }, index) => ({
      deviceClass,
      tier,
      field: `fleet.${index}.deviceClass`,
    })),
    ...browsers.deviceClasses.map(({ deviceClass }, index) => ({
      deviceClass,
      tier: 'browser',
      field: `browsers.deviceClasses.${index}.deviceClass`,
    })),
  ];
  for (const [index, { deviceClass, tier, field }] of named.entries()) {
    if (!known.has(deviceClass)) {
      throw badScenario(
        { file, field },
        `No profile has the device class "${deviceClass}": expected one of ${[...known].join(', ')}`,
      );
    }
    // Profiles, costs and workers that are started are known by their device class alone.
    const first = named.findIndex((other) => other.deviceClass === deviceClass);
    if (first < index) {
      throw badScenario(
        { file, field },
        `Expected each device class once, in one tier: found "${deviceClass}" of the ${tier} tier in ${named[first]?.field} already`,
      );
    }
  }
  for (const [index, { task }] of tasks.entries()) {
    const runs = profiles.some(
      (row) => row.task === task && named.some(({ deviceClass }) => deviceClass === row.deviceClass),
    );
    if (runs) continue;
    throw badScenario(
      { file, field: `tasks.${index}.task` },
      `Unknown task "${task}": no profile of it is of a device class that the scenario has`,
    );
  }
}

/** Both stages of a cascade have to be variants that something runs, and its own name has to tell it from them. */
function checkCascades(file: string, { tasks }: ScenarioFile, profiles: readonly ProfileRow[]): void {
  for (const [index, { task, cascades = [] }] of tasks.entries()) {
    const variants = new Set(profiles.filter((row) => row.task === task).map(({ variant }) => variant));
    const names = new Set(variants);
    for (const [position, { variant, small, large }] of cascades.entries()) {
      const at = (name: string) => ({ file, field: `tasks.${index}.cascades.${position}.${name}` });
      for (const [stage, name] of Object.entries({ small, large })) {
        if (variants.has(name)) continue;
        const expected = [...variants].join(', ');
        throw badScenario(
          at(stage),
          `No profile of "${task}" has the variant "${name}": expected one of ${expected}`,
        );
      }
      if (small === large) throw badScenario(at('large'), 'Expected another variant than the small stage');
      if (names.has(variant)) {
        throw badScenario(
          at('variant'),
          `"${task}" has another variant or cascade that is named "${variant}"`,
        );
      }
      names.add(variant);
    }
  }
}

function resolvePath(file: string, path: string, field: string, dataFolder: string | undefined): string {
  if (!path.startsWith(DATA_PREFIX)) return isAbsolute(path) ? path : join(dirname(file), path);
  if (dataFolder === undefined) {
    throw badScenario(
      { file, field },
      `"${path}" lies in the folder with data sets: name it with --data or NEARFAR_DATA`,
    );
  }
  const resolved = join(dataFolder, path.slice(DATA_PREFIX.length));
  if (existsSync(resolved)) return resolved;
  throw badScenario({ file, field }, `Expected the file "${resolved}", found none`);
}
