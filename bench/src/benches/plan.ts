import { createHighsSolver } from '@nearfar/coordinator/highs';
import { greedyPlan, type Plan, type PlanInput, planGap, type Solver, solvePlan } from '@nearfar/core';
import type { Bench, BenchOptions } from '../bench.ts';
import { planInstance } from '../plan-instance.ts';
import { nearestRank } from '../simulator/result.ts';

const SIZE = { variants: 200, classes: 30 };
const INSTANCES = 5;
/** Part of the bound that a plan may cost more to be good enough. */
const GAP = 0.05;
const LIMIT_MS = 10_000;

/** How long the slow loop needs for a plan within 5 % of the linear program's bound, over five instances. */
export const plan: Bench = {
  name: 'plan',
  description: 'Time to a plan of 200 variants on 30 worker classes within 5 % of the bound, and its gap',
  run: measurePlans,
};

/** Figures of plans with the solver and of greedy ones: the worst of the instances, and the median with `_median`. */
export async function measurePlans({ seed, say }: Pick<BenchOptions, 'seed' | 'say'>): Promise<{
  readonly plan_ms_200x30: number;
  readonly plan_gap_200x30: number;
  readonly [name: string]: number;
}> {
  const solver = createHighsSolver();
  try {
    const instances = Array.from({ length: INSTANCES }, (_, index) => planInstance(seed + index, SIZE));
    const [first] = instances;
    // The solver's thread is started and the code compiled once in a mesh's life; in it, plans come every few seconds.
    if (first !== undefined) await timed(first, solver);
    const times: number[] = [];
    const gaps: number[] = [];
    const greedyTimes: number[] = [];
    const greedyGaps: number[] = [];
    for (const [index, input] of instances.entries()) {
      const { found, ms } = await timed(input, solver);
      const startedAt = performance.now();
      const greedy = greedyPlan(input, { epoch: 1 });
      greedyTimes.push(performance.now() - startedAt);
      const bound = found.boundPicoUsdPerSecond;
      greedyGaps.push(planGap({ ...greedy, boundPicoUsdPerSecond: bound }));
      times.push(ms);
      gaps.push(planGap(found));
      say(`plan, seed ${seed + index}: ${ms.toFixed(0)} ms, ${percent(gaps.at(-1))} above the bound`);
    }
    return {
      plan_ms_200x30: Math.max(...times),
      plan_gap_200x30: Math.max(...gaps),
      plan_ms_200x30_median: median(times),
      plan_gap_200x30_median: median(gaps),
      greedy_ms_200x30: Math.max(...greedyTimes),
      greedy_gap_200x30: Math.max(...greedyGaps),
    };
  } finally {
    await solver.close();
  }
}

async function timed(input: PlanInput, solver: Solver): Promise<{ found: Plan; ms: number }> {
  const startedAt = performance.now();
  const limits = { timeLimitMs: LIMIT_MS, targetGap: GAP };
  const found = await solvePlan(input, { epoch: 1 }, solver, performance, limits);
  return { found, ms: performance.now() - startedAt };
}

function median(values: readonly number[]): number {
  return nearestRank(
    values.toSorted((a, b) => a - b),
    0.5,
  );
}

function percent(share = Number.NaN): string {
  return `${(share * 100).toFixed(1)} %`;
}
