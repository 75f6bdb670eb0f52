import { createWorkload } from '../scenario/workload.ts';
import type { DayJob } from './design.ts';
import { figuresOf } from './figures.ts';
import { dayScenario } from './point-scenario.ts';
import type { DayRecord } from './records.ts';

const BROWSER_SHARE = 0.3;

/** One policy on the whole Twitter day, at its own rate times a scale; no optimum, which takes too long for that many. */
export async function runDay(job: DayJob, dataFolder: string | undefined): Promise<DayRecord> {
  const { scale, seed, policy } = job;
  const scenario = await dayScenario({ scale, seed, browserShare: BROWSER_SHARE, dataFolder });
  const workload = createWorkload(scenario);
  return { job, requests: workload.requests, figures: await figuresOf(policy, scenario, workload) };
}
