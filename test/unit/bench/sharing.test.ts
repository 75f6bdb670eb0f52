import { describe, expect, test } from 'vitest';
import { compareSharing, readSharing } from '../../../bench/src/placement/sharing.ts';

describe('sharing a fleet', () => {
  test('the committed scenario has 20 tasks, whose tenants together have the rate of the task', async () => {
    const { tasks, durationMs } = await readSharing(1);
    expect(tasks).toHaveLength(20);
    const seconds = durationMs / 1_000;
    const perSecond = tasks.reduce((sum, { arrivals }) => sum + arrivals.length, 0) / seconds;
    expect(perSecond).toBeGreaterThan(160);
    expect(perSecond).toBeLessThan(240);
    for (const { arrivals } of tasks) {
      expect(arrivals.length).toBeGreaterThan(0);
      expect(arrivals).toEqual(arrivals.toSorted((a, b) => a.arrivalMs - b.arrivalMs));
    }
  });

  test('compares one fleet for all tasks with one for each, all of them sized for 99 %', async () => {
    const scenario = await readSharing(1, 2);
    const shares: number[] = [];
    const { shared, separate, tasks, requests } = await compareSharing(scenario, (share) =>
      shares.push(share),
    );
    expect(tasks).toBe(2);
    expect(requests).toBe(scenario.tasks.reduce((sum, { arrivals }) => sum + arrivals.length, 0));
    expect(shared.attainment).toBeGreaterThanOrEqual(0.99);
    expect(separate.worstTaskAttainment).toBeGreaterThanOrEqual(0.99);
    expect(separate.attainment).toBeGreaterThanOrEqual(separate.worstTaskAttainment);
    expect(separate.workers).toBeGreaterThanOrEqual(tasks);
    expect(shares).toEqual([1 / 3, 2 / 3, 1]);
  });
});
