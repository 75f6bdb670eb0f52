import { highestRate } from '../highest-rate.ts';
import { smallestStaticFleet, withStaticFleet } from '../policies/smallest-fleet.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { createWorkload } from '../scenario/workload.ts';
import { simulate } from '../simulator/simulate.ts';
import type { FleetJob } from './design.ts';
import { figuresOf, policyNamed } from './figures.ts';
import { pointScenario } from './point-scenario.ts';
import type { FleetComparison, FleetRecord } from './records.ts';

/** Policies that are compared on the fleet that a person would size for them; `always-pool` uses pool workers alone. */
export const SIZED = ['clipper', 'tfserving', 'always-pool'] as const;
const TARGET = 0.99;
/** Workers of a class that are tried at most. */
const MOST_OF_CLASS = 64;
const MOST_SUSTAINED = 16;
const PRECISION = 0.05;

/**
 * For each policy that does not scale the smallest static fleet with 99 % on time, the mesh on that very fleet, and how much
 * more load each of the two can take there: goodput at equal cost. Beside them the mesh on the smallest static fleet that it
 * needs itself. All fleets are sized for the whole run, known beforehand.
 */
export async function runFleet(
  job: FleetJob,
  options: { readonly perSecond: number; readonly dataFolder: string | undefined },
): Promise<FleetRecord> {
  const { point, seed } = job;
  const { perSecond, dataFolder } = options;
  const scenarioAt = (rate: number) => pointScenario(point, { perSecond: rate, seed, dataFolder });
  const scenario = await scenarioAt(perSecond);
  const requests = scenario.tasks.reduce((sum, { arrivals }) => sum + arrivals.length, 0);
  const baselines: Record<string, FleetComparison> = {};
  for (const policy of SIZED) {
    const sized = await sizeFleet(policy, scenario);
    if (sized === undefined) continue;
    const { counts } = sized;
    const onFleet = async (name: string) => ({
      figures: await figuresOf(name, withStaticFleet(scenario, counts)),
      sustained: await sustainedLoad(name, counts, { perSecond, scenarioAt }),
    });
    baselines[policy] = { baseline: { counts, ...(await onFleet(policy)) }, mesh: await onFleet('mesh') };
  }
  const own = await sizeFleet('mesh', scenario);
  if (own === undefined) return { job, requests, baselines };
  const figures = await figuresOf('mesh', withStaticFleet(scenario, own.counts));
  return { job, requests, mesh: { counts: own.counts, figures }, baselines };
}

type Counts = Readonly<Record<string, number>>;

/** The smallest static fleet with which a policy has 99 % on time; undefined where there is none. */
async function sizeFleet(
  policy: string,
  scenario: Scenario,
): Promise<{ readonly counts: Counts; readonly attainment: number } | undefined> {
  const workload = createWorkload(scenario);
  const pool = scenario.fleet.filter(({ tier }) => tier === 'pool').map(({ deviceClass }) => deviceClass);
  return smallestStaticFleet(
    policyNamed(policy),
    scenario,
    async (sized, create) => simulate(sized, await create(sized), { workload }).attainment,
    { target: TARGET, mostOfClass: MOST_OF_CLASS, ...(policy === 'always-pool' && { deviceClasses: pool }) },
  );
}

async function sustainedLoad(
  policy: string,
  counts: Counts,
  options: {
    readonly perSecond: number;
    readonly scenarioAt: (perSecond: number) => Promise<Scenario>;
  },
): Promise<number> {
  const { perSecond, scenarioAt } = options;
  const rate = await highestRate(
    async (tried) =>
      (await figuresOf(policy, withStaticFleet(await scenarioAt(tried), counts))).attainment >= TARGET,
    { fromPerSecond: perSecond, mostPerSecond: MOST_SUSTAINED * perSecond, precision: PRECISION },
  );
  return rate / perSecond;
}
