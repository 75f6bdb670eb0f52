import { describe, expect, test } from 'vitest';
import { settled } from '../../support/worker/manual-clock.ts';
import type { RecordingLink } from '../../support/worker/recording-link.ts';
import { connectedWorker, rows, variantSpec } from './builders.ts';

const old = variantSpec();
const next = variantSpec({ revision: 2 });
const { task, variant } = old;

const replicas = (link: RecordingLink) => link.of('load-report').at(-1)?.replicas;
const answerOf = (link: RecordingLink, requestId: string) => {
  const message = link.answer(requestId)?.message;
  return message?.type === 'execute-refused' ? message.error.code : message?.type;
};

/** A worker that holds two revisions of one variant, whose runs wait for the test from then on. */
async function workerWithRevisions() {
  const parts = connectedWorker();
  parts.link.deliver({ type: 'variant-load', spec: old });
  parts.link.deliver({ type: 'variant-load', spec: next });
  await parts.link.until(() => (replicas(parts.link)?.[1]?.state === 'ready' ? true : undefined));
  parts.engine.isHolding = true;
  return parts;
}

describe('two revisions of one variant', () => {
  test('are resident side by side, and each runs what was asked of it', async () => {
    const { engine, link, worker } = await workerWithRevisions();
    expect(replicas(link)).toMatchObject([
      { variant, revision: 1, state: 'ready' },
      { variant, revision: 2, state: 'ready' },
    ]);
    link.execute({ requestId: 'old', variant, revision: 1 }, rows(1, 2));
    link.execute({ requestId: 'new', variant, revision: 2 }, rows(3, 4));
    engine.held[0]?.finish();
    await settled();
    engine.held[1]?.finish();
    await settled();
    expect(engine.held.map(({ session }) => session)).toEqual(['digits/copy/1', 'digits/copy/2']);
    expect(answerOf(link, 'new')).toBe('execute-result');
    await worker.close();
  });

  test('are measured apart', async () => {
    const { link, worker } = await workerWithRevisions();
    const measured = link
      .of('profile-report')
      .flatMap(({ reports }) => reports.map(({ revision, batch }) => `${revision}#${batch}`));
    expect(measured).toEqual(expect.arrayContaining(['1#1', '1#2', '1#4', '2#1', '2#2', '2#4']));
    await worker.close();
  });
});

describe('a variant that is unloaded', () => {
  test('still runs what waits for it, refuses what comes, and is freed after the last run', async () => {
    const { engine, link, worker } = await workerWithRevisions();
    for (const requestId of ['running', 'waiting']) {
      link.execute({ requestId, variant, revision: 1 }, rows(1, 2, 3, 4, 5, 6));
    }
    link.deliver({ type: 'variant-unload', task, variant, revision: 1 });
    link.execute({ requestId: 'late', variant, revision: 1 }, rows(1, 2));
    link.execute({ requestId: 'other', variant, revision: 2 }, rows(1, 2));
    await settled();
    expect(answerOf(link, 'late')).toBe('MESH_VARIANT_NOT_READY');
    expect(replicas(link)).toMatchObject([{ revision: 2, state: 'ready' }]);

    engine.held[0]?.finish();
    await settled();
    expect(engine.loaded.has('digits/copy/1')).toBe(true);
    engine.held[1]?.finish();
    await settled();
    expect([answerOf(link, 'running'), answerOf(link, 'waiting')]).toEqual([
      'execute-result',
      'execute-result',
    ]);
    expect([...engine.loaded.keys()]).toEqual(['digits/copy/2']);

    engine.held[2]?.finish();
    await settled();
    expect(answerOf(link, 'other')).toBe('execute-result');
    await worker.close();
  });

  test('is freed at once when nothing waits for it', async () => {
    const { engine, link, worker } = await workerWithRevisions();
    link.execute({ requestId: 'other', variant, revision: 2 }, rows(1, 2));
    link.deliver({ type: 'variant-unload', task, variant, revision: 1 });
    await settled();
    expect([...engine.loaded.keys()]).toEqual(['digits/copy/2']);
    await worker.close();
  });

  test('is freed when the requests that waited are cancelled or too late', async () => {
    const { clock, engine, link, worker } = await workerWithRevisions();
    link.execute({ requestId: 'running', variant, revision: 2 }, rows(1, 2));
    link.execute({ requestId: 'cancelled', variant, revision: 1 }, rows(1, 2));
    link.execute({ requestId: 'late', variant, revision: 1, budgetMs: 50 }, rows(1, 2));
    link.deliver({ type: 'variant-unload', task, variant, revision: 1 });
    link.deliver({ type: 'execute-cancel', requestId: 'cancelled' });
    await settled();
    expect(engine.loaded.has('digits/copy/1')).toBe(true);
    await clock.advance(50);
    expect(answerOf(link, 'late')).toBe('MESH_DEADLINE_EXCEEDED');
    expect(engine.loaded.has('digits/copy/1')).toBe(false);
    await worker.close();
  });

  test('can be loaded again while it drains', async () => {
    const { engine, link, worker } = await workerWithRevisions();
    link.execute({ requestId: 'running', variant, revision: 1 }, rows(1, 2));
    link.deliver({ type: 'variant-unload', task, variant, revision: 1 });
    link.deliver({ type: 'variant-load', spec: old });
    await settled();
    engine.isHolding = false;
    engine.held[0]?.finish();
    await link.until(() => (replicas(link)?.every(({ state }) => state === 'ready') ? true : undefined));
    expect(answerOf(link, 'running')).toBe('execute-result');
    expect([...engine.loaded.keys()].sort()).toEqual(['digits/copy/1', 'digits/copy/2']);
    await worker.close();
  });

  test('is given up when it is still being loaded', async () => {
    const { clock, engine, link, worker } = connectedWorker();
    engine.isHolding = true;
    link.deliver({ type: 'variant-load', spec: old });
    await settled();
    link.deliver({ type: 'variant-unload', task, variant, revision: 1 });
    engine.held[0]?.finish();
    await settled();
    expect(engine.held).toHaveLength(1);
    expect(engine.loaded.size).toBe(0);
    expect(replicas(link)).toEqual([]);
    await worker.close();
    expect(clock.pending).toBe(0);
  });
});
