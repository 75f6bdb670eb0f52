import { POLICIES } from '../policies/index.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { createWorkload, type Workload } from '../scenario/workload.ts';
import type { PolicyFactory } from '../simulator/policy.ts';
import { simulate } from '../simulator/simulate.ts';
import type { Figures } from './records.ts';

/** The policy of a name. @throws RangeError when there is none. */
export function policyNamed(name: string): PolicyFactory {
  const create = POLICIES.get(name);
  if (create === undefined) throw new RangeError(`Expected a policy, got "${name}"`);
  return create;
}

/** Runs a policy on a scenario. */
export async function figuresOf(
  policy: string,
  scenario: Scenario,
  workload: Workload = createWorkload(scenario),
): Promise<Figures> {
  const result = simulate(scenario, await policyNamed(policy)(scenario), { workload });
  return {
    attainment: result.attainment,
    goodputPerSecond: result.goodput_rps,
    costUsd: result.cost_usd,
    marginalUsd: result.marginal_cost_usd,
    accuracy: result.effective_accuracy,
    browserShare: result.tier_shares.browser,
  };
}
