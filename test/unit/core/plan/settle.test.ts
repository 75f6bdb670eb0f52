import { createHighsSolver } from '@nearfar/coordinator/highs';
import { type PlanInput, type PlanVariant, Settler, solvePlan } from '@nearfar/core';
import { afterAll, describe, expect, test } from 'vitest';
import { demand, planInput, variant, workers } from './builders.ts';

const DWELL_MS = 60_000;

function settling(settler = new Settler()) {
  return (count: number, now: number) =>
    settler.settle(new Map([['v', count]]), now, () => DWELL_MS).get('v') ?? 0;
}

describe('a settler', () => {
  test('takes more at once', () => {
    const settle = settling();
    expect([settle(1, 0), settle(3, 5_000), settle(4, 10_000)]).toEqual([1, 3, 4]);
  });

  test('takes less only when less was wanted all through the dwell, and then the most of it', () => {
    const settle = settling();
    const held = [3, 1, 2, 0].map((count, index) => settle(count, index * 10_000));
    expect(held).toEqual([3, 3, 3, 3]);
    expect(settle(0, 69_999)).toBe(3);
    expect(settle(0, 70_000)).toBe(2);
    expect(settle(0, 129_999)).toBe(2);
    expect(settle(0, 140_000)).toBe(0);
  });

  test('leaves out what no plan wants and nothing holds', () => {
    const settler = new Settler();
    expect([...settler.settle(new Map([['v', 0]]), 0, () => DWELL_MS)]).toEqual([]);
    settler.settle(new Map([['v', 2]]), 0, () => 0);
    expect([...settler.settle(new Map([['v', 0]]), 1, () => 0)]).toEqual([]);
  });

  test('starts to wait anew when it was wanted again', () => {
    const settle = settling();
    settle(2, 0);
    settle(0, 10_000);
    settle(2, 50_000);
    expect(settle(0, 80_000)).toBe(2);
    expect(settle(0, 139_000)).toBe(2);
    expect(settle(0, 141_000)).toBe(0);
  });

  test('a name that a plan does not mention is wanted no more', () => {
    const settler = new Settler();
    const dwell = () => 1_000;
    settler.settle(
      new Map([
        ['a', 1],
        ['b', 1],
      ]),
      0,
      dwell,
    );
    expect([...settler.settle(new Map([['b', 1]]), 500, dwell).keys()]).toEqual(['a', 'b']);
    expect([...settler.settle(new Map([['b', 1]]), 1_500, dwell).keys()]).toEqual(['b']);
  });
});

describe('plans one after another', () => {
  const solver = createHighsSolver();
  afterAll(() => solver.close());

  function inputAt(
    requestsPerSecond: readonly [number, number],
    held: ReadonlyMap<string, number>,
  ): PlanInput {
    const withLoaded = (own: PlanVariant): PlanVariant => ({
      ...own,
      on: own.on.map((on) => ({
        ...on,
        loaded: held.get(`${on.workerClass} ${own.task} ${own.variant}`) ?? 0,
      })),
    });
    return planInput({
      classes: [
        workers({ workers: 4, min: 4, max: 4, memoryBytes: 250 }),
        workers({ id: 'gpu', tier: 'pool', busyPicoUsdPerMs: 20_000, memoryBytes: 250 }),
      ],
      variants: ['a', 'b']
        .flatMap((task) => [
          variant('small', { cpu: 20, gpu: 4 }, { task, accuracy: 0.8, loadMs: 3_000 }),
          variant('large', { cpu: 45, gpu: 6 }, { task, accuracy: 0.9, loadMs: 6_000, memoryBytes: 150 }),
        ])
        .map(withLoaded),
      demands: ['a', 'b'].flatMap((task, index) =>
        [0.7, 0.9].map((minAccuracy) =>
          demand({
            id: `${task}${minAccuracy}`,
            task,
            minAccuracy,
            requestsPerSecond: requestsPerSecond[index] ?? 0,
          }),
        ),
      ),
    });
  }

  /** Plans every 5 s while demand alternates; returns the loads and unloads of each step. */
  async function run(settler: Settler, demands: readonly (readonly [number, number])[]): Promise<number[]> {
    let held: ReadonlyMap<string, number> = new Map();
    const changes: number[] = [];
    for (const [step, rates] of demands.entries()) {
      const plan = await solvePlan(inputAt(rates, held), { epoch: step }, solver, performance, {
        timeLimitMs: 5_000,
        targetGap: 0.001,
      });
      const wanted = new Map(
        plan.placements.flatMap(({ workerClass, replicas }) =>
          replicas.map(({ task, variant: name, replicas: count }) => [
            `${workerClass} ${task} ${name}`,
            count,
          ]),
        ),
      );
      const next = settler.settle(wanted, step * 5_000, () => DWELL_MS);
      const names = new Set([...held.keys(), ...next.keys()]);
      changes.push(
        [...names].reduce((sum, name) => sum + Math.abs((next.get(name) ?? 0) - (held.get(name) ?? 0)), 0),
      );
      held = new Map(next);
    }
    return changes;
  }

  test('demand that goes up and down within a band changes no loads once both ends were seen', async () => {
    const band = Array.from({ length: 30 }, (_, step): [number, number] =>
      step % 2 === 0 ? [20, 30] : [30, 20],
    );
    const changes = await run(new Settler(), band);
    expect(changes[0]).toBeGreaterThan(0);
    expect(changes.slice(2)).toEqual(Array(28).fill(0));
  });

  test('demand that is gone for good lets go of what served it', async () => {
    const rates = Array.from({ length: 30 }, (_, step): [number, number] => (step < 5 ? [20, 30] : [20, 0]));
    const changes = await run(new Settler(), rates);
    expect(changes.slice(1, 16)).toEqual(Array(15).fill(0));
    expect(changes.slice(16).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0);
  });
});
