import { ClassUses, type ObservedWorker } from '@nearfar/core';
import { expect, test } from 'vitest';

const POOL = { tier: 'pool', deviceClass: 'cuda:test' } as const;
const worker = (over: Partial<ObservedWorker> = {}): ObservedWorker => ({
  ...POOL,
  slots: 1,
  backlogMs: 0,
  ...over,
});

test('sums up executions by class, with means of their service and slack', () => {
  const uses = new ClassUses();
  uses.used(POOL, { busyMs: 100, slackMs: 50 });
  uses.used(POOL, { busyMs: 300, slackMs: -20 });
  const taken = uses.take([worker({ slots: 3 }), worker()], 1_000);
  expect(taken).toEqual([{ ...POOL, slots: 4, utilisation: 0.1, serviceMs: 200, slackMs: 25 }]);
  expect(uses.take([worker()], 1_000)).toEqual([
    { ...POOL, slots: 1, utilisation: 0, serviceMs: 0, slackMs: 0 },
  ]);
});

test('counts what waits and did not before as asked for, over all slots, and what is done of it once', () => {
  const uses = new ClassUses();
  const utilisation = (backlogMs: number) =>
    uses.take([worker({ slots: 2, backlogMs })], 1_000)[0]?.utilisation;
  uses.used(POOL, { busyMs: 2_000, slackMs: 0 });
  expect(utilisation(500)).toBe(1.5);
  uses.used(POOL, { busyMs: 1_000, slackMs: 0 });
  expect(utilisation(0)).toBe(0);
});

test('forgets a class without workers', () => {
  const uses = new ClassUses();
  uses.take([worker({ backlogMs: 900 })], 1_000);
  uses.used(POOL, { busyMs: 500, slackMs: 0 });
  expect(uses.take([], 1_000)).toEqual([]);
  expect(uses.take([worker({ backlogMs: 900 })], 1_000)[0]?.utilisation).toBe(0.9);
});
