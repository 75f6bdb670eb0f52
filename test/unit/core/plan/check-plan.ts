import type { Plan, PlanInput, Solver } from '@nearfar/core';
import { expect } from 'vitest';
import { PICO_USD_PER_UNIT, planProgram } from '../../../../core/src/plan/program.ts';
import { findRoutes } from '../../../../core/src/plan/routes.ts';

const SLACK = 1e-5;

/** Checks, without the planner's own sums, that a plan serves what it says and keeps time, memory, accuracy and bounds. */
export function checkPlan(input: PlanInput, plan: Plan): void {
  const utilisation = input.rule?.targetUtilisation ?? 0.8;
  const usedMs = new Map<string, number>();
  const usedByVariant = new Map<string, number>();
  for (const demand of input.demands) {
    const flows = plan.flows.filter((flow) => flow.demand === demand.id);
    const served = flows.reduce((sum, flow) => sum + flow.requestsPerSecond, 0);
    expect(served).toBeLessThanOrEqual(demand.requestsPerSecond * (1 + SLACK) + SLACK);
    for (const flow of flows) {
      const { place, batch, requestsPerSecond } = flow;
      if (place.tier === 'browser') {
        const group = demand.pages.find(({ deviceClass }) => deviceClass === place.id);
        expect(requestsPerSecond).toBeLessThanOrEqual(
          demand.requestsPerSecond * (group?.share ?? 0) * (1 + SLACK) + SLACK,
        );
        continue;
      }
      const variant = input.variants.find(
        ({ task, variant: name }) => task === demand.task && name === flow.variant,
      );
      expect(variant?.accuracy).toBeGreaterThanOrEqual(demand.minAccuracy);
      expect(demand.tiers).toContain(place.tier);
      const on = variant?.on.find(({ workerClass }) => workerClass === place.id);
      const time = on?.batches.find((entry) => entry.batch === batch)?.time.meanMs ?? Number.NaN;
      expect(time).toBeLessThanOrEqual(demand.sloMs);
      const busyMs = (requestsPerSecond * time) / batch;
      usedMs.set(place.id, (usedMs.get(place.id) ?? 0) + busyMs);
      const key = `${place.id} ${demand.task} ${flow.variant}`;
      usedByVariant.set(key, (usedByVariant.get(key) ?? 0) + busyMs);
    }
  }
  const total = input.demands.reduce((sum, { requestsPerSecond }) => sum + requestsPerSecond, 0);
  const served = plan.flows.reduce((sum, flow) => sum + flow.requestsPerSecond, 0);
  expect(served + plan.unservedPerSecond).toBeCloseTo(total, 3);

  for (const [index, own] of input.classes.entries()) {
    const placement = plan.placements[index];
    expect(placement?.workerClass).toBe(own.id);
    const count = placement?.wantedWorkers ?? Number.NaN;
    expect(Number.isInteger(count) && count >= own.min && count <= own.max).toBe(true);
    const workerMs = 1_000 * own.slots * utilisation;
    expect(usedMs.get(own.id) ?? 0).toBeLessThanOrEqual(count * workerMs * (1 + SLACK) + SLACK);
    const held: Held[] = [];
    for (const { task, variant, replicas } of placement?.replicas ?? []) {
      expect(Number.isInteger(replicas) && replicas >= 1 && replicas <= count).toBe(true);
      const entry = input.variants.find((each) => each.task === task && each.variant === variant);
      const on = entry?.on.find(({ workerClass }) => workerClass === own.id);
      const share = (on?.memoryBytes ?? Number.NaN) / own.memoryBytes;
      for (let turn = 0; turn < replicas; turn += 1) held.push({ name: `${task}/${variant}`, share });
      const used = usedByVariant.get(`${own.id} ${task} ${variant}`) ?? 0;
      usedByVariant.delete(`${own.id} ${task} ${variant}`);
      expect(used).toBeLessThanOrEqual(replicas * workerMs * (1 + SLACK) + SLACK);
    }
    expect(fitsOnWorkers(held, count), `${own.id}: ${JSON.stringify(held)} on ${count} workers`).toBe(true);
  }
  // Whatever serves is loaded somewhere.
  for (const [key, used] of usedByVariant) expect([key, used < SLACK]).toEqual([key, true]);
  expect(plan.boundPicoUsdPerSecond).toBeLessThanOrEqual(
    plan.objectivePicoUsdPerSecond + 1e-6 * Math.abs(plan.objectivePicoUsdPerSecond) + 1,
  );
}

/** A replica: what it is of, and its share of a worker's memory. */
interface Held {
  readonly name: string;
  readonly share: number;
}

/** Whether replicas can be held together, each worker with memory of its own and no two of one name; tries every way. */
function fitsOnWorkers(held: readonly Held[], count: number): boolean {
  const workers = Array.from({ length: count }, () => ({ free: 1, names: new Set<string>() }));
  const sorted = [...held].sort((a, b) => b.share - a.share || (a.name < b.name ? -1 : 1));
  const place = (next: number): boolean => {
    const entry = sorted[next];
    if (entry === undefined) return true;
    const tried = new Set<string>();
    for (const worker of workers) {
      if (worker.free < entry.share - 1e-9 || worker.names.has(entry.name)) continue;
      // Workers that hold the same are alike.
      const like = [...worker.names].sort().join();
      if (tried.has(like)) continue;
      tried.add(like);
      worker.free -= entry.share;
      worker.names.add(entry.name);
      if (place(next + 1)) return true;
      worker.free += entry.share;
      worker.names.delete(entry.name);
    }
    return false;
  };
  return place(0);
}

/** The least cost over every choice of workers and replicas, each with its flows at their best. */
export async function bruteForce(input: PlanInput, solver: Solver): Promise<number> {
  const map = findRoutes(input);
  let best = Number.POSITIVE_INFINITY;
  const choices = (counts: readonly number[]): number[][] =>
    counts.reduce<number[][]>(
      (all, most) => all.flatMap((one) => Array.from({ length: most + 1 }, (_, count) => [...one, count])),
      [[]],
    );
  const spans = input.classes.map(({ min, max }) => max - min);
  for (const added of choices(spans)) {
    const workers = input.classes.map(({ min }, index) => min + (added[index] ?? 0));
    const most = map.places.map(({ classIndex }) => workers[classIndex] ?? 0);
    for (const replicas of choices(most)) {
      const doesFit = input.classes.every((_class, index) => {
        const own = map.places.flatMap(({ classIndex, memoryShare }, place) =>
          classIndex === index
            ? Array<Held>(replicas[place] ?? 0).fill({ name: `${place}`, share: memoryShare })
            : [],
        );
        return fitsOnWorkers(own, workers[index] ?? 0);
      });
      if (!doesFit) continue;
      const { program, fixedPicoUsdPerSecond } = planProgram(map, {
        kind: 'fixed',
        integers: { workers, replicas },
      });
      if (fixedPicoUsdPerSecond >= best) continue;
      const solution = await solver.solve(program, { timeLimitMs: 10_000 });
      if (solution.kind !== 'optimal') continue;
      best = Math.min(best, solution.objective * PICO_USD_PER_UNIT + fixedPicoUsdPerSecond);
    }
  }
  return best;
}
