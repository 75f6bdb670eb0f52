import { planGap, toUsd } from '@nearfar/core';
import type { PriceTable } from '@nearfar/protocol';
import type { CurrentPlan } from '../planner.ts';

const SECONDS_PER_HOUR = 3_600;

/** A plan as `GET /v1/plan` shows it; `now` on the monotonic clock. */
export function planView({ plan, input, madeAt, tookMs }: CurrentPlan, now: number) {
  const gap = planGap(plan);
  return {
    epoch: plan.epoch,
    source: plan.source,
    ageMs: now - madeAt,
    tookMs,
    objectiveUsdPerHour: usdPerHour(plan.objectivePicoUsdPerSecond),
    boundUsdPerHour: usdPerHour(plan.boundPicoUsdPerSecond),
    /** Absent where there is no bound. */
    ...(Number.isFinite(gap) && { gap }),
    unservedPerSecond: plan.unservedPerSecond,
    demands: input.demands.map(({ id, task, requestsPerSecond, sloMs, minAccuracy, tiers }) => ({
      id,
      task,
      requestsPerSecond,
      sloMs,
      minAccuracy,
      tiers,
    })),
    placements: plan.placements.map((placement) => ({
      ...placement,
      workers: input.classes.find(({ id }) => id === placement.workerClass)?.workers ?? 0,
      neededWorkers: neededWorkers({ plan, input }, placement.workerClass),
    })),
    flows: plan.flows,
    prices: plan.prices,
  };
}

/** Workers of a class that the planned flows would keep busy at 80 %: what an operator could do with. */
export function neededWorkers(
  { plan, input }: Pick<CurrentPlan, 'plan' | 'input'>,
  workerClass: string,
): number {
  const own = input.classes.find(({ id }) => id === workerClass);
  if (own === undefined) return 0;
  const tasks = new Map(input.demands.map(({ id, task }) => [id, task]));
  let busyMs = 0;
  for (const { demand, variant, place, batch, requestsPerSecond } of plan.flows) {
    if (place.id !== workerClass) continue;
    const task = tasks.get(demand);
    const on = input.variants
      .find((entry) => entry.task === task && entry.variant === variant)
      ?.on.find((entry) => entry.workerClass === workerClass);
    const time = on?.batches.find((entry) => entry.batch === batch)?.time.meanMs ?? 0;
    busyMs += (requestsPerSecond * time) / batch;
  }
  return Math.ceil(busyMs / (1_000 * own.slots * (input.rule?.targetUtilisation ?? 0.8)) - 1e-6);
}

/** The lines of a plan in `/metrics`; none before the first plan. */
export function planMetrics(current: CurrentPlan | undefined, now: number): string {
  if (current === undefined) return '';
  const { plan, input, madeAt, tookMs } = current;
  const gap = planGap(plan);
  const lines = [
    ...gauge('nearfar_plan_epoch', 'Number of the current plan.', plan.epoch),
    ...gauge('nearfar_plan_age_seconds', 'Seconds since it was made.', (now - madeAt) / 1_000),
    ...gauge('nearfar_plan_duration_seconds', 'What it took to make.', tookMs / 1_000),
    ...gauge(
      'nearfar_plan_objective_usd_per_hour',
      'Cost of the plan, misses and loads included.',
      usdPerHour(plan.objectivePicoUsdPerSecond),
    ),
    ...gauge(
      'nearfar_plan_unserved_per_second',
      'Forecast requests that it cannot serve.',
      plan.unservedPerSecond,
    ),
    ...(Number.isFinite(gap) ? gauge('nearfar_plan_gap', 'Gap to the bound, as a share of it.', gap) : []),
    '# HELP nearfar_plan_source Who made it.',
    '# TYPE nearfar_plan_source gauge',
    ...['solver', 'greedy'].map(
      (source) => `nearfar_plan_source{source="${source}"} ${plan.source === source ? 1 : 0}`,
    ),
    '# HELP nearfar_plan_workers Workers of each class: there, and needed for the planned work.',
    '# TYPE nearfar_plan_workers gauge',
    ...input.classes.flatMap(({ id, tier, deviceClass, workers }, index) => {
      const labels = `tier="${tier}",device_class="${escaped(deviceClass)}",class="${index}"`;
      return [
        `nearfar_plan_workers{${labels},count="present"} ${workers}`,
        `nearfar_plan_workers{${labels},count="needed"} ${neededWorkers(current, id)}`,
      ];
    }),
  ];
  return `${lines.join('\n')}\n`;
}

function gauge(name: string, help: string, value: number): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, `${name} ${value}`];
}

/** The lines of the prices that requests are decided by now in `/metrics`; of a class that is not scarce there is none. */
export function priceMetrics({ prices }: PriceTable): string {
  const name = 'nearfar_shadow_price_usd_per_busy_second';
  const lines = [
    `# HELP ${name} Price of scarce time, on top of its cost.`,
    `# TYPE ${name} gauge`,
    ...prices.map(
      ({ tier, deviceClass, picoUsdPerMs }) =>
        `${name}{tier="${tier}",device_class="${escaped(deviceClass)}"} ${toUsd(picoUsdPerMs * 1_000)}`,
    ),
  ];
  return `${lines.join('\n')}\n`;
}

function escaped(value: string): string {
  return value.replace(/["\\\n]/g, (found) => (found === '\n' ? '\\n' : `\\${found}`));
}

function usdPerHour(picoUsdPerSecond: number): number {
  return toUsd(picoUsdPerSecond * SECONDS_PER_HOUR);
}
