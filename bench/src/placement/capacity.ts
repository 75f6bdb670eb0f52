import { highestRate } from '../highest-rate.ts';
import { instanceOf } from '../optimum/index.ts';
import { listSchedule } from '../optimum/list-schedule.ts';
import { reachedBy } from '../optimum/schedule.ts';
import { searchedSchedule } from '../optimum/searched-schedule.ts';
import type { CapacityJob } from './design.ts';
import { steadyScenario } from './point-scenario.ts';

/** The highest steady rate of a mix, and what there is to reach at all. */
export interface Capacity {
  readonly perSecond: number;
  /** Share that a clairvoyant has on time when there is hardly any load; below 1 where no place is near enough for some. */
  readonly attainable: number;
}

/** Share of what is attainable that has to be on time. */
const TARGET = 0.99;
/** Where the search begins: a rate at which queues hardly matter. */
const LOW_PER_SECOND = 40;
const HIGHEST_PER_SECOND = 20_000;
/** The search ends when both ends are this close. */
const PRECISION = 0.03;
/** One stream for every mix: what is varied is the rate alone. */
const SEED = 1_000;

/**
 * The highest rate of a steady Poisson stream at which the clairvoyant schedule has 99 % on time of what is attainable, found
 * by bisection to 3 %. The list rule, which takes hardly any time, says where the search for a better schedule begins.
 */
export async function findCapacity({ mix, browserShare, seconds }: CapacityJob): Promise<Capacity> {
  const attainmentAt = async (perSecond: number, schedule: typeof searchedSchedule): Promise<number> => {
    const instance = instanceOf(await steadyScenario(mix, { browserShare, perSecond, seconds, seed: SEED }));
    return reachedBy(schedule(instance)).onTime / instance.requests.length;
  };
  const attainable = await attainmentAt(LOW_PER_SECOND, searchedSchedule);
  const holds = (schedule: typeof searchedSchedule) => async (perSecond: number) =>
    (await attainmentAt(perSecond, schedule)) >= TARGET * attainable;
  const options = { mostPerSecond: HIGHEST_PER_SECOND, precision: PRECISION };
  const fromPerSecond = await highestRate(
    holds((instance) => listSchedule(instance, 'eager')),
    {
      ...options,
      fromPerSecond: LOW_PER_SECOND,
    },
  );
  const perSecond = await highestRate(holds(searchedSchedule), { ...options, fromPerSecond });
  return { perSecond, attainable };
}
