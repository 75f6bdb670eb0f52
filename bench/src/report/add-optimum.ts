import type { Scenario } from '../scenario/scenario.ts';
import { createWorkload, type Workload } from '../scenario/workload.ts';
import type { OptimumResult, SimulationResult } from '../simulator/result.ts';

/** What to set beside a result. */
export interface AddOptimumOptions {
  /** What any schedule of the same workload would cost at least (default true). */
  readonly withBound?: boolean;
  /** The best schedule that was found knowing everything, carried out (default false). */
  readonly withClairvoyant?: boolean;
}

/** A result together with the bound and the clairvoyant at the attainment that the policy reached. */
export async function addOptimum(
  result: SimulationResult,
  scenario: Scenario,
  { withBound = true, withClairvoyant = false }: AddOptimumOptions = {},
): Promise<SimulationResult> {
  if (!withBound && !withClairvoyant) return result;
  const workload = createWorkload(scenario);
  const bound = withBound ? await boundBeside(result, scenario, workload) : undefined;
  const clairvoyant = withClairvoyant ? await clairvoyantBeside(result, scenario, workload) : undefined;
  return {
    ...result,
    ...(bound !== undefined && { bound }),
    ...(clairvoyant !== undefined && { clairvoyant }),
  };
}

async function boundBeside(
  result: SimulationResult,
  scenario: Scenario,
  workload: Workload,
): Promise<OptimumResult> {
  // Loaded when it is asked for: most runs of a comparison leave it out.
  const { boundOf, instanceOf } = await import('../optimum/index.ts');
  const { attainment, costUsd, marginalCostUsd } = boundOf(instanceOf(scenario, workload), onTimeOf(result));
  return {
    attainment: result.attainment,
    most_attainment: attainment,
    cost_usd: costUsd,
    marginal_cost_usd: marginalCostUsd,
  };
}

/** The policy's own schedule where nothing better was found: who knows everything could have done the same. */
async function clairvoyantBeside(
  result: SimulationResult,
  scenario: Scenario,
  workload: Workload,
): Promise<OptimumResult> {
  const { Clairvoyant, findSchedules } = await import('../policies/clairvoyant.ts');
  const { simulate } = await import('../simulator/simulate.ts');
  const atLeastOnTime = onTimeOf(result);
  const schedules = findSchedules(scenario, workload);
  const found = simulate(scenario, new Clairvoyant(scenario, { atLeastOnTime, schedules }), { workload });
  const isElastic = scenario.fleet.some(({ min, max }) => min < max);
  const judged = (entry: SimulationResult) => (isElastic ? entry.cost_usd : entry.marginal_cost_usd);
  const isBetter = onTimeOf(found) >= atLeastOnTime && judged(found) <= judged(result);
  const { attainment, cost_usd, marginal_cost_usd } = isBetter ? found : result;
  return { attainment, cost_usd, marginal_cost_usd };
}

function onTimeOf({ attainment, requests }: SimulationResult): number {
  return Math.round(attainment * requests);
}
