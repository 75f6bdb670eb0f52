import type { Bench } from '../bench.ts';
import { type MeshOptions, mesh } from '../policies/mesh.ts';
import { committedScenario } from '../scenario/committed-scenario.ts';
import { readScenario } from '../scenario/read-scenario.ts';
import { createWorkload } from '../scenario/workload.ts';
import { simulate } from '../simulator/simulate.ts';

const SEEDS = 5;
/** Of the scenario; its profiles are the ones that are wrong below. */
const EDGE = 'cpu:assumed';

/** What is left out or wrong in each row of the table. */
export const ABLATIONS: ReadonlyMap<string, MeshOptions> = new Map<string, MeshOptions>([
  ['full', {}],
  ['no_prices', { hasPrices: false }],
  ['no_calibration', { isCalibrated: false }],
  ['no_network_term', { seesNetwork: false }],
  ['no_cascades', { hasCascades: false }],
  ['no_leases', { hasLeases: false }],
  ['edge_believed_twice_as_fast', { believedTimes: { [EDGE]: 0.5 } }],
  ['edge_believed_twice_as_fast_no_calibration', { believedTimes: { [EDGE]: 0.5 }, isCalibrated: false }],
  ['edge_believed_half_as_fast', { believedTimes: { [EDGE]: 2 } }],
  ['edge_believed_half_as_fast_no_calibration', { believedTimes: { [EDGE]: 2 }, isCalibrated: false }],
  ['reports_stale_by_0.1s', { reportEveryMs: 100 }],
  ['reports_stale_by_1s', { reportEveryMs: 1_000 }],
  ['reports_stale_by_5s', { reportEveryMs: 5_000 }],
  ['reports_stale_by_30s', { reportEveryMs: 30_000 }],
]);

/** What each part of the mesh is worth: the same arrivals with one part at a time left out. */
export const ablations: Bench = {
  name: 'ablations',
  description: 'Attainment, violations and cost of the mesh with one part at a time left out',
  async run({ seed, say, seeds = SEEDS, quick = false, onProgress }) {
    const count = quick ? 1 : seeds;
    const sums = new Map<
      string,
      { requests: number; onTime: number; marginalUsd: number; accuracy: number }
    >();
    for (let index = 0; index < count; index += 1) {
      const scenario = await readScenario(committedScenario('ablation'), { seed: seed + index });
      const workload = createWorkload(scenario);
      for (const [position, [name, options]] of [...ABLATIONS].entries()) {
        const result = simulate(scenario, mesh(scenario, options), { workload });
        const sum = sums.get(name) ?? { requests: 0, onTime: 0, marginalUsd: 0, accuracy: 0 };
        sums.set(name, sum);
        sum.requests += result.requests;
        sum.onTime += Math.round(result.attainment * result.requests);
        sum.marginalUsd += result.marginal_cost_usd;
        sum.accuracy += result.effective_accuracy / count;
        onProgress?.((index + (position + 1) / ABLATIONS.size) / count);
      }
    }
    const metrics: Record<string, number> = {};
    for (const [name, { requests, onTime, marginalUsd, accuracy }] of sums) {
      const usdPerMillion = (marginalUsd / requests) * 1e6;
      metrics[`ablation/${name}/attainment`] = onTime / requests;
      metrics[`ablation/${name}/violation_ratio`] = (requests - onTime) / requests;
      metrics[`ablation/${name}/marginal_cost_usd`] = marginalUsd / count;
      metrics[`ablation/${name}/usd_per_million_requests`] = usdPerMillion;
      metrics[`ablation/${name}/effective_accuracy`] = accuracy;
      say(
        `${name}: ${((onTime / requests) * 100).toFixed(2)} % on time, $${usdPerMillion.toFixed(4)} a million`,
      );
    }
    return metrics;
  },
};
