import { describe, expect, test } from 'vitest';
import { BelievedQueue } from '../../../bench/src/policies/mesh/believed-queue.ts';
import { Profile } from '../../../bench/src/profile-table.ts';
import { profileRow } from './simulation.ts';

/** 10 ms alone, 12 ms for two. */
const own = new Profile([profileRow(), profileRow({ batch: 2, p50Ms: 12 })]);
const other = new Profile([profileRow({ variant: 'other', p50Ms: 5 })]);

/** A request that has to be done by 100 ms. */
const due = (profile: Profile, deadlineAt = 100) => ({ profile, deadlineAt });

function queue(freeMs = 0): BelievedQueue {
  const made = new BelievedQueue();
  made.reset(freeMs);
  return made;
}

describe('a believed queue', () => {
  test('has nothing ahead of the first, which runs alone', () => {
    expect(queue().ahead(due(own), 3)).toEqual({ waitMs: 0, batch: 1 });
  });

  test('runs what arrives at an idle worker at once: the next does not join it', () => {
    const worker = queue();
    worker.arrive(due(own), 2);
    worker.runUntil(4);
    expect(worker.ahead(due(own), 4)).toEqual({ waitMs: expect.closeTo(8, 6), batch: 1 });
    expect(worker.backlogMs(4)).toBeCloseTo(8);
  });

  test('lets those join that wait when the worker is busy, up to the largest batch', () => {
    const worker = queue(20);
    worker.arrive(due(own), 2);
    expect(worker.ahead(due(own), 2)).toEqual({ waitMs: expect.closeTo(18, 6), batch: 2 });
    worker.arrive(due(own), 3);
    expect(worker.ahead(due(own), 3)).toEqual({ waitMs: expect.closeTo(17 + 12, 6), batch: 1 });
  });

  test('starts what waits as one batch when the worker is free', () => {
    const worker = queue(20);
    worker.arrive(due(own), 2);
    worker.arrive(due(own), 3);
    worker.runUntil(21);
    expect(worker.backlogMs(21)).toBeCloseTo(11);
    worker.runUntil(40);
    expect(worker.backlogMs(40)).toBeCloseTo(0);
  });

  test('has what is due earlier ahead, and not what is due later', () => {
    const worker = queue(20);
    worker.arrive(due(other), 2);
    worker.arrive(due(other), 2);
    expect(worker.ahead(due(own), 2)).toEqual({ waitMs: expect.closeTo(18 + 10, 6), batch: 1 });
  });

  test('can be looked ahead in without changing it', () => {
    const worker = queue(20);
    worker.arrive(due(own), 2);
    const then = new BelievedQueue();
    then.copy(worker);
    then.arrive(due(own), 25);
    then.runUntil(50);
    expect(then.backlogMs(50)).toBeCloseTo(0);
    expect(worker.backlogMs(2)).toBeCloseTo(18 + 10);
  });
});
