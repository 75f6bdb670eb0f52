import { boundOf, instanceOf } from '../optimum/index.ts';
import { createWorkload } from '../scenario/workload.ts';
import type { PlaceJob } from './design.ts';
import { figuresOf } from './figures.ts';
import { pointScenario } from './point-scenario.ts';
import type { Figures, PlaceRecord } from './records.ts';

/** Every policy that is compared; `always-browser` where callers can compute at all. */
const COMPARED = [
  'mesh',
  'informed',
  'infaas',
  'infaas-dropping',
  'clipper',
  'tfserving',
  'proteus',
  'greedy-cost',
  'greedy-latency',
  'always-pool',
  'always-edge',
  'always-browser',
];

/** Runs every policy on the same requests and noise, and asks what any schedule would have to pay to have as many on time as the mesh. */
export async function runPlace(
  job: PlaceJob,
  options: { readonly perSecond: number; readonly dataFolder: string | undefined },
): Promise<PlaceRecord> {
  const scenario = await pointScenario(job.point, { ...options, seed: job.seed });
  const workload = createWorkload(scenario);
  const policies: Record<string, Figures> = {};
  for (const name of COMPARED) {
    if (name === 'always-browser' && scenario.browsers.deviceClasses.length === 0) continue;
    policies[name] = await figuresOf(name, scenario, workload);
  }
  const asked = Math.round((policies.mesh?.attainment ?? 0) * workload.requests);
  const { marginalCostUsd } = boundOf(instanceOf(scenario, workload), asked);
  return { job, requests: workload.requests, policies, boundUsd: marginalCostUsd };
}
