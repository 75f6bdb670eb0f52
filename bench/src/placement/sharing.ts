import { smallestStaticFleet } from '../policies/smallest-fleet.ts';
import { committedScenario } from '../scenario/committed-scenario.ts';
import { gammaArrivals } from '../scenario/gamma-arrivals.ts';
import { readScenario } from '../scenario/read-scenario.ts';
import type { Arrival, Scenario, ScenarioTask } from '../scenario/scenario.ts';
import { createWorkload } from '../scenario/workload.ts';
import { simulate } from '../simulator/simulate.ts';
import { policyNamed } from './figures.ts';

/** Whether tasks had better share a fleet or have one each; every fleet the smallest static one of the mesh for the target. */
export interface Sharing {
  readonly tasks: number;
  readonly requests: number;
  readonly shared: FleetOfTasks;
  /** The fleets of single tasks, taken together. */
  readonly separate: FleetOfTasks;
}

/** What some tasks are served by, and how. */
export interface FleetOfTasks {
  readonly usdPerHour: number;
  readonly workers: number;
  /** Over all requests. */
  readonly attainment: number;
  /** Of the task with the least. */
  readonly worstTaskAttainment: number;
}

export const TENANTS = 5;
const MESH = 'mesh';
const TARGET = 0.99;
const MOST_OF_CLASS = 64;
/** Burstiness of a tenant's own stream. */
const SQUARED_VARIATION = 4;
/** Far enough apart that no two streams of a run have a seed in common. */
const SEEDS_APART = 7_919;

/** The committed scenario, each task with the streams of its tenants, which share its rate; only the first `tasks` of it. */
export async function readSharing(seed: number, tasks = Number.POSITIVE_INFINITY): Promise<Scenario> {
  const scenario = await readScenario(committedScenario('sharing'), { seed });
  const kept = scenario.tasks.slice(0, tasks);
  const names = new Set(kept.map(({ task }) => task));
  return {
    ...scenario,
    tasks: kept.map((task, index) => ({
      ...task,
      arrivals: ofTenants(task, scenario.durationMs, (seed * kept.length + index) * SEEDS_APART),
    })),
    profiles: scenario.profiles.filter(({ task }) => names.has(task)),
  };
}

/** The mean rate of a task's arrivals as that of its tenants' streams, merged. */
function ofTenants({ arrivals }: ScenarioTask, durationMs: number, seed: number): Arrival[] {
  const seconds = durationMs / 1_000;
  const perSecond = arrivals.length / seconds / TENANTS;
  const streams = Array.from({ length: TENANTS }, (_, tenant) =>
    gammaArrivals({ perSecond, seconds, squaredVariation: SQUARED_VARIATION }, seed + tenant),
  );
  return streams.flat().sort((a, b) => a.arrivalMs - b.arrivalMs);
}

/**
 * Sizes one fleet for all tasks of a scenario and one for each, all for 99 % on time under the mesh, and compares them.
 *
 * @throws Error that names the tasks for which no fleet is enough.
 */
export async function compareSharing(
  scenario: Scenario,
  onProgress: (share: number) => void = () => undefined,
): Promise<Sharing> {
  const steps = scenario.tasks.length + 1;
  const shared = await sized(scenario);
  onProgress(1 / steps);
  const requests = scenario.tasks.reduce((sum, { arrivals }) => sum + arrivals.length, 0);
  let usdPerHour = 0;
  let workers = 0;
  let onTime = 0;
  let worstTaskAttainment = 1;
  for (const [index, task] of scenario.tasks.entries()) {
    const profiles = scenario.profiles.filter((row) => row.task === task.task);
    const own = await sized({ ...scenario, tasks: [task], profiles });
    usdPerHour += own.usdPerHour;
    workers += own.workers;
    onTime += own.attainment * task.arrivals.length;
    worstTaskAttainment = Math.min(worstTaskAttainment, own.attainment);
    onProgress((index + 2) / steps);
  }
  return {
    tasks: scenario.tasks.length,
    requests,
    shared,
    separate: { usdPerHour, workers, attainment: onTime / requests, worstTaskAttainment },
  };
}

async function sized(scenario: Scenario): Promise<FleetOfTasks> {
  const workload = createWorkload(scenario);
  const run = async (fleet: Scenario) => simulate(fleet, await policyNamed(MESH)(fleet), { workload });
  const fleet = await smallestStaticFleet(
    policyNamed(MESH),
    scenario,
    async (tried) => (await run(tried)).attainment,
    { target: TARGET, mostOfClass: MOST_OF_CLASS },
  );
  if (fleet === undefined) {
    const names = scenario.tasks.map(({ task }) => task).join(', ');
    throw new Error(`Expected ${MOST_OF_CLASS} workers of each class to be enough for ${names}`);
  }
  const { attainment, per_task: perTask } = await run(fleet.scenario);
  return {
    usdPerHour: fleet.usdPerHour,
    workers: Object.values(fleet.counts).reduce((sum, count) => sum + count, 0),
    attainment,
    worstTaskAttainment: Math.min(...Object.values(perTask).map((task) => task.attainment)),
  };
}
