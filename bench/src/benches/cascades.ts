import type { Bench } from '../bench.ts';
import { type CallerTally, tallyByCaller } from '../cascades/by-caller.ts';
import { mesh } from '../policies/mesh.ts';
import { committedScenario } from '../scenario/committed-scenario.ts';
import { readScenario } from '../scenario/read-scenario.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { createWorkload } from '../scenario/workload.ts';
import { simulate } from '../simulator/simulate.ts';

/** In `bench/scenarios`, by what follows `cascade-`. */
const SCENARIOS = ['measured', 'assumed'];
const SEEDS = 5;

/** What cascades save at the accuracy of the large model less half a point, by what callers' devices can hold. */
export const cascades: Bench = {
  name: 'cascades',
  description: 'Marginal cost with and without cascades, by what the callers’ devices can hold',
  async run({ seed, say, seeds = SEEDS, quick = false, onProgress }) {
    const metrics: Record<string, number> = {};
    for (const [position, name] of SCENARIOS.entries()) {
      const sums = { with: new Map<string, CallerTally>(), without: new Map<string, CallerTally>() };
      const count = quick ? 1 : seeds;
      for (let index = 0; index < count; index += 1) {
        const scenario = await cascadeScenario(name, seed + index);
        const workload = createWorkload(scenario);
        for (const [key, hasCascades] of [
          ['with', true],
          ['without', false],
        ] as const) {
          const { tallies, ...listeners } = tallyByCaller(scenario, kindsOf(scenario));
          simulate(scenario, mesh(scenario, { hasCascades }), { workload, ...listeners });
          for (const [kind, tally] of tallies) {
            add(sums[key], kind, tally);
            if (kind !== 'holds_large') add(sums[key], 'cannot_hold_large', tally);
          }
        }
        onProgress?.((position + (index + 1) / count) / SCENARIOS.length);
      }
      for (const [kind, own] of sums.with) {
        const without = sums.without.get(kind);
        if (without === undefined) continue;
        const ratio = perRequest(own) / perRequest(without);
        const prefix = `${name}/${kind}`;
        metrics[`${prefix}/cost_ratio`] = ratio;
        metrics[`${prefix}/usd_per_million_with`] = perRequest(own) * 1e6;
        metrics[`${prefix}/usd_per_million_without`] = perRequest(without) * 1e6;
        metrics[`${prefix}/attainment_with`] = own.onTime / own.requests;
        metrics[`${prefix}/attainment_without`] = without.onTime / without.requests;
        metrics[`${prefix}/accuracy_with`] = own.accuracySum / own.onTime;
        metrics[`${prefix}/accuracy_without`] = without.accuracySum / without.onTime;
        say(`${name}, ${kind}: ${ratio.toFixed(3)} of the cost without cascades`);
      }
    }
    return metrics;
  },
};

/** `bench/scenarios/cascade-…`, with this seed. */
export function cascadeScenario(name: string, seed: number): Promise<Scenario> {
  return readScenario(committedScenario(`cascade-${name}`), { seed });
}

/** Names what the devices of a class can hold of the scenario's task: the large stage, the small one alone, or nothing. */
export function kindsOf({ tasks, profiles }: Scenario): (deviceClass: string | undefined) => string {
  const [cascade] = tasks.flatMap((task) => task.cascades ?? []);
  return (deviceClass) => {
    const holds = (variant: string | undefined) =>
      profiles.some((row) => row.variant === variant && row.deviceClass === deviceClass);
    return holds(cascade?.large) ? 'holds_large' : holds(cascade?.small) ? 'holds_small' : 'holds_nothing';
  };
}

function add(sums: Map<string, CallerTally>, kind: string, tally: CallerTally): void {
  const sum = sums.get(kind) ?? { requests: 0, onTime: 0, accuracySum: 0, marginalUsd: 0 };
  sums.set(kind, sum);
  sum.requests += tally.requests;
  sum.onTime += tally.onTime;
  sum.accuracySum += tally.accuracySum;
  sum.marginalUsd += tally.marginalUsd;
}

function perRequest({ marginalUsd, requests }: CallerTally): number {
  return marginalUsd / Math.max(1, requests);
}
