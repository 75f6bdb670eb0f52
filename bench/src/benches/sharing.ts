import type { Bench } from '../bench.ts';
import { intervalOf } from '../placement/interval.ts';
import { compareSharing, readSharing, type Sharing, TENANTS } from '../placement/sharing.ts';

const SEEDS = 3;
const QUICK_TASKS = 3;

/** What it saves that tasks and tenants share a fleet, with everybody on time as before. */
export const sharing: Bench = {
  name: 'sharing',
  description: 'One shared fleet for 20 tasks of 5 tenants against a fleet for each task',
  async run({ seed, quick = false, seeds = SEEDS, say, onProgress }) {
    const runs: Sharing[] = [];
    const wanted = quick ? 1 : seeds;
    for (let index = 0; index < wanted; index += 1) {
      const scenario = await readSharing(seed + index, quick ? QUICK_TASKS : undefined);
      const run = await compareSharing(scenario, (share) => onProgress?.((index + share) / wanted));
      runs.push(run);
      const { shared, separate } = run;
      say(
        `seed ${seed + index}: ${shared.workers} shared workers, ${separate.workers} in fleets of their own`,
      );
    }
    const metrics: Record<string, number> = {
      seeds: runs.length,
      tasks: runs[0]?.tasks ?? 0,
      tenants: TENANTS,
    };
    const add = (name: string, value: (run: Sharing) => number) => {
      const { mean, halfWidth } = intervalOf(runs.map(value));
      metrics[name] = mean;
      if (Number.isFinite(halfWidth)) metrics[`${name}_half_width_95`] = halfWidth;
    };
    add('requests', ({ requests }) => requests);
    add('cost_ratio', ({ shared, separate }) => separate.usdPerHour / shared.usdPerHour);
    for (const [name, of] of [
      ['shared', ({ shared }: Sharing) => shared],
      ['separate', ({ separate }: Sharing) => separate],
    ] as const) {
      add(`attainment_${name}`, (run) => of(run).attainment);
      add(`worst_task_attainment_${name}`, (run) => of(run).worstTaskAttainment);
      add(`workers_${name}`, (run) => of(run).workers);
      add(`usd_per_hour_${name}`, (run) => of(run).usdPerHour);
    }
    return metrics;
  },
};
