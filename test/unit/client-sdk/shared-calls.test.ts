import { describe, expect, test, vi } from 'vitest';
import { abortable, SharedCalls } from '../../../client-sdk/src/shared-calls.ts';
import { settled } from '../../support/worker/manual-clock.ts';

interface Run {
  readonly signal: AbortSignal;
  readonly update: (update: number) => void;
  readonly resolve: (value: string) => void;
  readonly reject: (error: unknown) => void;
}

/** Work that the test finishes by hand; every time it was started is a run. */
class HandWork {
  readonly runs: Run[] = [];
  readonly start = (signal: AbortSignal, update: (update: number) => void): Promise<string> => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    this.runs.push({ signal, update, resolve, reject });
    return promise;
  };

  get run(): Run {
    const run = this.runs.at(-1);
    if (run === undefined) throw new Error('Expected the work to be started');
    return run;
  }
}

describe('shared calls', () => {
  test('callers at the same time share one run and its result', async () => {
    const calls = new SharedCalls<string, number>();
    const work = new HandWork();
    const first = calls.join('a', {}, work.start);
    const second = calls.join('a', {}, work.start);
    await settled();
    expect(work.runs).toHaveLength(1);
    work.run.resolve('done');
    expect(await Promise.all([first, second])).toEqual(['done', 'done']);
  });

  test('other keys are other work', async () => {
    const calls = new SharedCalls<string, number>();
    const work = new HandWork();
    const both = [calls.join('a', {}, work.start), calls.join('b', {}, work.start)];
    await settled();
    expect(work.runs).toHaveLength(2);
    for (const run of work.runs) run.resolve('done');
    await Promise.all(both);
  });

  test('a late caller gets the latest update at once, and every later one', async () => {
    const calls = new SharedCalls<string, number>();
    const work = new HandWork();
    const early: number[] = [];
    const late: number[] = [];
    const first = calls.join('a', { onUpdate: (update) => early.push(update) }, work.start);
    await settled();
    work.run.update(1);
    work.run.update(2);
    const second = calls.join('a', { onUpdate: (update) => late.push(update) }, work.start);
    expect(late).toEqual([2]);
    work.run.update(3);
    work.run.resolve('done');
    await Promise.all([first, second]);
    expect(early).toEqual([1, 2, 3]);
    expect(late).toEqual([2, 3]);
  });

  test('a caller that aborts leaves with its own reason while the others go on', async () => {
    const calls = new SharedCalls<string, number>();
    const work = new HandWork();
    const impatient = new AbortController();
    const updates: number[] = [];
    const leaving = calls.join(
      'a',
      { signal: impatient.signal, onUpdate: (update) => updates.push(update) },
      work.start,
    );
    const staying = calls.join('a', {}, work.start);
    await settled();
    impatient.abort(new Error('had enough'));
    await expect(leaving).rejects.toThrow('had enough');
    expect(work.run.signal.aborted).toBe(false);
    work.run.update(1);
    work.run.resolve('done');
    expect(await staying).toBe('done');
    expect(updates).toEqual([]);
  });

  test('the work is aborted when the last caller has left, and the next one starts anew', async () => {
    const calls = new SharedCalls<string, number>();
    const work = new HandWork();
    const [one, two] = [new AbortController(), new AbortController()];
    const first = calls.join('a', { signal: one.signal }, work.start);
    const second = calls.join('a', { signal: two.signal }, work.start);
    await settled();
    one.abort(new Error('one left'));
    await expect(first).rejects.toThrow('one left');
    expect(work.run.signal.aborted).toBe(false);
    two.abort(new Error('two left'));
    await expect(second).rejects.toThrow('two left');
    expect(work.run.signal.reason).toEqual(new Error('two left'));

    const third = calls.join('a', {}, work.start);
    await settled();
    expect(work.runs).toHaveLength(2);
    // The end of the abandoned run does not touch the new one.
    work.runs[0]?.reject(new Error('aborted'));
    await settled();
    const fourth = calls.join('a', {}, work.start);
    work.run.resolve('anew');
    expect(await fourth).toBe('anew');
    expect(work.runs).toHaveLength(2);
    expect(await third).toBe('anew');
  });

  test('a caller that has aborted before it joins starts nothing', async () => {
    const calls = new SharedCalls<string, number>();
    const work = new HandWork();
    const signal = AbortSignal.abort(new Error('never mind'));
    await expect(calls.join('a', { signal }, work.start)).rejects.toThrow('never mind');
    await settled();
    expect(work.runs).toEqual([]);
  });

  test('a failure reaches all callers, and the next join starts anew', async () => {
    const calls = new SharedCalls<string, number>();
    const work = new HandWork();
    const callers = [calls.join('a', {}, work.start), calls.join('a', {}, work.start)];
    await settled();
    work.run.reject(new Error('broken'));
    const results = await Promise.allSettled(callers);
    expect(results.map((result) => result.status)).toEqual(['rejected', 'rejected']);
    const next = calls.join('a', {}, work.start);
    await settled();
    work.run.resolve('works');
    expect(await next).toBe('works');
  });

  test('a listener that throws hurts neither the work nor the other callers, and its error is reported', async () => {
    const reported: unknown[] = [];
    vi.stubGlobal('reportError', (error: unknown) => reported.push(error));
    const calls = new SharedCalls<string, number>();
    const work = new HandWork();
    const updates: number[] = [];
    const broken = new Error('listener');
    const onUpdate = () => {
      throw broken;
    };
    const first = calls.join('a', { onUpdate }, work.start);
    const second = calls.join('a', { onUpdate: (update) => updates.push(update) }, work.start);
    await settled();
    work.run.update(1);
    // The latest update is handed to a late caller while it joins.
    const third = calls.join('a', { onUpdate }, work.start);
    work.run.resolve('done');
    expect(await Promise.all([first, second, third])).toEqual(['done', 'done', 'done']);
    expect(updates).toEqual([1]);
    expect(reported).toEqual([broken, broken]);
    vi.unstubAllGlobals();
  });
});

describe('a call that can be aborted', () => {
  test('rejects at once under a signal that has aborted, and what it waited for fails unseen', async () => {
    const failing = Promise.reject(new Error('too late'));
    await expect(abortable(failing, AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
    await expect(abortable(Promise.resolve(1), AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
  });
});
