import type { Optimum } from '../optimum/index.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { OptimumResult, SimulationResult } from '../simulator/result.ts';

/**
 * A result together with what any schedule of the same workload would cost at least at the attainment that the policy reached,
 * and, when asked for, with the best schedule that was found knowing everything.
 */
export async function addOptimum(
  result: SimulationResult,
  scenario: Scenario,
  { withClairvoyant = false }: { readonly withClairvoyant?: boolean } = {},
): Promise<SimulationResult> {
  // Loaded when it is asked for: most runs of a comparison leave it out.
  const { boundOf, clairvoyantOf, instanceOf } = await import('../optimum/index.ts');
  const instance = instanceOf(scenario);
  const onTime = Math.round(result.attainment * result.requests);
  const bound = atAttainment(boundOf(instance, onTime), result.attainment);
  if (!withClairvoyant) return { ...result, bound };
  const known = [{ onTime, marginalUsd: result.marginal_cost_usd }];
  const best = clairvoyantOf(instance, { atLeastOnTime: onTime, known });
  // Workers that are there in any case cost the same, whoever places; what else it pays for is part of its marginal cost.
  const clairvoyant = { attainment: best.attainment, marginal_cost_usd: best.marginalCostUsd };
  return { ...result, bound, clairvoyant };
}

function atAttainment({ costUsd, marginalCostUsd, attainment }: Optimum, reached: number): OptimumResult {
  return {
    attainment: reached,
    most_attainment: attainment,
    cost_usd: costUsd,
    marginal_cost_usd: marginalCostUsd,
  };
}
