import { type IncomingMessage, request } from 'node:http';
import type { TaskRecord } from '@nearfar/core';
import type { TaskInfo } from '@nearfar/protocol';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { positionOf } from '../../../coordinator/src/rollout/share.ts';
import type { FakeWorker } from '../../support/coordinator/fake-worker.ts';
import { changedTask, sampleTask, sampleVariant } from '../../support/coordinator/sample-task.ts';
import { SAMPLE_INPUT, TestMesh } from '../../support/coordinator/test-mesh.ts';

let mesh: TestMesh;
beforeEach(async () => {
  mesh = await TestMesh.start();
  await mesh.coordinator.register(sampleTask());
});
afterEach(() => mesh.close());

const record = (): TaskRecord => {
  const [found] = mesh.coordinator.records();
  if (found === undefined) throw new Error('Expected a record');
  return found;
};
const revisions = () => {
  const { active, next, previous } = record();
  return [active.revision, next?.task.revision, previous?.revision];
};
const info = async (): Promise<TaskInfo> => {
  const [, body] = await mesh.json('/v1/models', {}, 'client');
  const [task] = (body as { models: TaskInfo[] }).models;
  if (task === undefined) throw new Error('Expected a task');
  return task;
};
const post = (path: string) => mesh.json(path, { method: 'POST' });
const heldBy = (worker: FakeWorker) => [...worker.held.keys()].sort();
const metric = async (start: string) =>
  (await (await mesh.call('/metrics')).text()).split('\n').find((line) => line.startsWith(start));

describe('a revision that is to take over at once', () => {
  test('is loaded beside the active one, and answers when it is warm', async () => {
    const worker = await mesh.serving('w');
    await mesh.coordinator.register(changedTask());
    await expect.poll(() => heldBy(worker)).toEqual(['sample/tiny-fp32-onnx/1', 'sample/tiny-fp32-onnx/2']);
    expect(revisions()).toEqual([1, 2, undefined]);
    expect((await mesh.infer()).status).toBe(200);
    expect(await info()).toMatchObject({
      revision: 1,
      rollout: { mode: 'now', revision: 2, state: 'warming' },
    });

    worker.profile(() => 2);
    worker.report(({ revision }) => (revision === 1 ? 'ready' : 'loading'));
    expect((await mesh.infer()).status).toBe(200);
    worker.report();
    await expect.poll(revisions).toEqual([2, undefined, 1]);
    await expect.poll(() => heldBy(worker)).toEqual(['sample/tiny-fp32-onnx/2']);
    expect((await mesh.infer()).status).toBe(200);
    expect(worker.received.at(-1)).toMatchObject({ type: 'execute-request', revision: 2 });
    expect(await info()).toMatchObject({ revision: 2, previousRevision: 1 });
  });

  test('waits for a worker that is ready and whose class has been measured', async () => {
    const worker = await mesh.serving('w');
    await mesh.coordinator.register(changedTask());
    await expect.poll(() => worker.held.size).toBe(2);
    worker.report();
    await expect.poll(() => mesh.coordinator.fleet.find('w')?.replicas().length).toBe(2);
    expect(revisions()).toEqual([1, 2, undefined]);
    worker.profile(() => 2);
    await expect.poll(revisions).toEqual([2, undefined, 1]);
  });

  test('is not held up by variants that failed everywhere, nor by those that nobody can run', async () => {
    const worker = await mesh.serving('w');
    const variants = [
      ...changedTask().variants,
      sampleVariant({ variant: 'tiny-fp16-onnx', precision: 'fp16' }),
      sampleVariant({ variant: 'tiny-fp32-tfjs', format: 'tfjs' }),
    ];
    await mesh.coordinator.register(changedTask({ variants }));
    await expect.poll(() => worker.held.size).toBe(3);
    worker.profile(() => 2);
    worker.report(({ variant }) => (variant === 'tiny-fp16-onnx' ? 'failed' : 'ready'));
    await expect.poll(revisions).toEqual([2, undefined, 1]);
  });

  test('never takes over when all of its variants fail', async () => {
    const worker = await mesh.serving('w');
    await mesh.coordinator.register(changedTask());
    await expect.poll(() => worker.held.size).toBe(2);
    worker.report(({ revision }) => (revision === 2 ? 'failed' : 'ready'));
    await expect.poll(() => mesh.coordinator.fleet.find('w')?.replicas().length).toBe(2);
    expect((await mesh.infer()).status).toBe(200);
    expect(revisions()).toEqual([1, 2, undefined]);
  });

  test('takes over at once where no worker could run anything', async () => {
    await mesh.coordinator.register(changedTask());
    expect(revisions()).toEqual([2, undefined, 1]);
  });

  test('lets requests of the old one end before that is unloaded', async () => {
    const worker = await mesh.serving('w');
    let finish = () => {};
    worker.onExecute = (request, tensors) => {
      finish = () => worker.answer(request, tensors);
    };
    const executing = worker.next('execute-request');
    const slow = mesh.infer();
    await executing;
    await mesh.coordinator.register(changedTask());
    await expect.poll(() => worker.held.size).toBe(2);
    worker.profile(() => 2);
    worker.report();
    await expect.poll(revisions).toEqual([2, undefined, 1]);
    expect(heldBy(worker)).toEqual(['sample/tiny-fp32-onnx/1', 'sample/tiny-fp32-onnx/2']);
    finish();
    expect((await slow).status).toBe(200);
    await expect.poll(() => heldBy(worker)).toEqual(['sample/tiny-fp32-onnx/2']);
  });
});

describe('registering again', () => {
  test('changes nothing with the same source and variants, also while a newer revision comes', async () => {
    await mesh.serving('w');
    const first = await mesh.coordinator.register(sampleTask({ registeredAt: '2027-01-01T00:00:00.000Z' }));
    expect(first).toEqual({ active: sampleTask() });
    await mesh.coordinator.register(changedTask(), { mode: 'canary', share: 0.5 });
    const before = record();
    await mesh.coordinator.register(changedTask());
    await mesh.coordinator.register(sampleTask());
    expect(record()).toEqual(before);
  });

  test('replaces a revision that was on its way, and never gives its number again', async () => {
    await mesh.serving('w');
    await mesh.coordinator.register(changedTask());
    await mesh.coordinator.register(
      changedTask({ source: 'third', variants: [sampleVariant({ revision: 3, artifacts: [] })] }),
    );
    expect(revisions()).toEqual([1, 3, undefined]);
  });

  test('gives no number twice, neither of what was dropped nor of what was deleted', async () => {
    const worker = await mesh.serving('w');
    const other = (sha256: string) => [{ path: 'tiny.onnx', sha256: sha256.repeat(64), sizeBytes: 1 }];
    const register = (source: string, revision: number, files: string) =>
      mesh.coordinator.register(
        sampleTask({ source, variants: [sampleVariant({ revision, artifacts: other(files) })] }),
      );
    await register('bad', 2, 'b');
    await post('/v1/models/sample/rollback');
    await mesh.restart();
    const again = await mesh.serving('w');
    expect(worker.held.size).toBe(1);
    // Whoever gave the number did not know of the one that was dropped.
    const mended = await register('mended', 2, 'c');
    expect(mended.next?.task).toMatchObject({ revision: 3, variants: [{ revision: 3 }] });
    await expect.poll(() => heldBy(again)).toEqual(['sample/tiny-fp32-onnx/1', 'sample/tiny-fp32-onnx/3']);
    await mesh.call('/v1/models/sample?force=true', { method: 'DELETE' });
    const anew = await register('anew', 1, 'd');
    expect(anew.active).toMatchObject({ revision: 4, variants: [{ revision: 4 }] });
  });

  test('leaves the number of a variant whose files are those of a kept revision', async () => {
    await mesh.serving('w');
    const variants = [sampleVariant(), sampleVariant({ variant: 'tiny-fp16-onnx', precision: 'fp16' })];
    const { next } = await mesh.coordinator.register(sampleTask({ source: 'more', variants }));
    expect(next?.task).toMatchObject({ revision: 2, variants: [{ revision: 1 }, { revision: 1 }] });
    // Also when whoever gave it another number did not know of that revision.
    const [tiny, ...others] = variants;
    const given = [{ ...tiny, revision: 7 } as typeof tiny, ...others].filter((entry) => entry !== undefined);
    const later = await mesh.coordinator.register(sampleTask({ source: 'later', variants: given }));
    expect(later.next?.task).toMatchObject({ revision: 3, variants: [{ revision: 1 }, { revision: 1 }] });
  });
});

describe('a canary', () => {
  test('answers the share of requests that their ids fall into, until it is promoted', async () => {
    const worker = await mesh.serving('w');
    await mesh.coordinator.register(changedTask(), { mode: 'canary', share: 0.5 });
    await expect.poll(() => worker.held.size).toBe(2);
    worker.profile(() => 2);
    worker.report();
    await expect.poll(async () => (await info()).rollout?.state).toBe('serving');
    const revisionsSeen = new Set<unknown>();
    for (let request = 0; request < 24; request += 1) {
      const executing = worker.next('execute-request');
      const { parameters } = await mesh.infer();
      const { revision } = await executing;
      revisionsSeen.add(revision);
      expect(revision).toBe(positionOf(String(parameters?.decision_id)) < 0.5 ? 2 : 1);
    }
    expect([...revisionsSeen].sort()).toEqual([1, 2]);
    expect(await metric('nearfar_revision_requests_total{task="sample",revision="2",status="ok"}')).toMatch(
      / [1-9]\d*$/,
    );

    const [status, promoted] = await post('/v1/models/sample/promote');
    expect([status, promoted]).toMatchObject([200, { revision: 2, previousRevision: 1 }]);
    await mesh.infer();
    expect(worker.received.at(-1)).toMatchObject({ type: 'execute-request', revision: 2 });
  });

  test('gets no request while it is not warm, and none after a rollback', async () => {
    const worker = await mesh.serving('w');
    await mesh.coordinator.register(changedTask(), { mode: 'canary', share: 1 });
    await expect.poll(() => worker.held.size).toBe(2);
    await mesh.infer();
    expect(worker.received.at(-1)).toMatchObject({ revision: 1 });
    worker.profile(() => 2);
    worker.report();
    await expect.poll(async () => (await info()).rollout?.state).toBe('serving');
    await mesh.infer();
    expect(worker.received.at(-1)).toMatchObject({ revision: 2 });

    const [status, rolledBack] = await post('/v1/models/sample/rollback');
    expect([status, (rolledBack as TaskInfo).rollout]).toEqual([200, undefined]);
    await expect.poll(() => heldBy(worker)).toEqual(['sample/tiny-fp32-onnx/1']);
    expect((await mesh.infer()).status).toBe(200);
  });

  test('can be pinned where it alone has the variant', async () => {
    const worker = await mesh.serving('w');
    const added = sampleVariant({ variant: 'tiny-fp16-onnx', precision: 'fp16' });
    const variants = [...sampleTask().variants, added];
    await mesh.coordinator.register(changedTask({ variants }), { mode: 'canary', share: 0.000_001 });
    await expect.poll(() => worker.held.size).toBe(2);
    worker.profile(() => 2);
    worker.report();
    await expect.poll(async () => (await info()).rollout?.state).toBe('serving');
    const path = '/v2/models/sample/versions/tiny-fp16-onnx/infer';
    expect(await mesh.infer({}, path)).toMatchObject({ status: 200, model_version: 'tiny-fp16-onnx' });
  });
});

describe('a shadow', () => {
  test('runs the share of answered requests too, and says how many it answers alike', async () => {
    const worker = await mesh.serving('w');
    await mesh.coordinator.register(changedTask(), { mode: 'shadow', share: 1 });
    await expect.poll(() => worker.held.size).toBe(2);
    worker.profile(() => 2);
    worker.report();
    await expect.poll(async () => (await info()).rollout?.state).toBe('serving');

    const counts = async () => (await info()).rollout?.shadow;
    await mesh.infer();
    await expect.poll(counts).toMatchObject({ compared: 1, agreed: 1 });
    worker.onExecute = (request, tensors) =>
      worker.answer(request, tensors, request.revision === 2 ? [2, 1, 0] : [0, 1, 2]);
    const { outputs } = await mesh.infer();
    expect(outputs?.[0]?.data).toEqual([0, 1, 2]);
    await expect.poll(counts).toMatchObject({ compared: 2, agreed: 1 });
    worker.onExecute = (request, tensors) => {
      if (request.revision === 2) worker.refuse(request, 'MESH_EXECUTION_FAILED');
      else worker.answer(request, tensors);
    };
    expect((await mesh.infer()).status).toBe(200);
    await expect.poll(counts).toEqual({ compared: 2, agreed: 1, skipped: 0, failed: 1 });
    expect(await metric('nearfar_shadow_requests_total{task="sample",revision="2",result="agreed"}')).toMatch(
      / 1$/,
    );
  });

  test('never delays an answer, and is passed over while the fleet is busy', async () => {
    const worker = await mesh.serving('w');
    await mesh.coordinator.register(changedTask(), { mode: 'shadow', share: 1 });
    await expect.poll(() => worker.held.size).toBe(2);
    worker.profile(() => 2);
    worker.report();
    await expect.poll(async () => (await info()).rollout?.state).toBe('serving');
    // The shadow's own run never ends, so that the worker's one slot stays taken.
    worker.onExecute = (request, tensors) => {
      if (request.revision === 1) worker.answer(request, tensors);
    };
    expect((await mesh.infer()).status).toBe(200);
    await expect.poll(() => mesh.coordinator.fleet.find('w')?.inFlight).toBe(1);
    expect((await mesh.infer()).status).toBe(200);
    await expect.poll(async () => (await info()).rollout?.shadow?.skipped).toBe(1);
    await post('/v1/models/sample/rollback');
    expect(heldBy(worker)).toContain('sample/tiny-fp32-onnx/2');
  });
});

describe('an operator', () => {
  test('brings the previous revision back when it is warm again', async () => {
    const worker = await mesh.serving('w');
    await mesh.coordinator.register(changedTask());
    await expect.poll(() => worker.held.size).toBe(2);
    worker.profile(() => 2);
    worker.report();
    await expect.poll(revisions).toEqual([2, undefined, 1]);
    await expect.poll(() => heldBy(worker)).toEqual(['sample/tiny-fp32-onnx/2']);

    const [status, answer] = await post('/v1/models/sample/rollback');
    expect([status, answer]).toMatchObject([
      200,
      { revision: 2, rollout: { revision: 1, state: 'warming' } },
    ]);
    await expect.poll(() => worker.held.size).toBe(2);
    expect(revisions()).toEqual([2, 1, 1]);
    worker.report();
    await expect.poll(revisions).toEqual([1, undefined, 2]);
    await mesh.coordinator.register(
      changedTask({ source: 'third', variants: [sampleVariant({ revision: 3, artifacts: [] })] }),
    );
    expect(record().next?.task.revision).toBe(3);
  });

  test('is told when there is nothing to promote or to go back to, and needs the role', async () => {
    expect(await post('/v1/models/sample/promote')).toMatchObject([400, { code: 'MESH_BAD_REQUEST' }]);
    expect(await post('/v1/models/sample/rollback')).toMatchObject([
      409,
      { code: 'MESH_NO_PREVIOUS_REVISION' },
    ]);
    expect(await post('/v1/models/nothing/rollback')).toMatchObject([404, { code: 'MESH_UNKNOWN_TASK' }]);
    for (const [method, path] of [
      ['POST', '/v1/models/sample/promote'],
      ['POST', '/v1/models/sample/rollback'],
      ['DELETE', '/v1/models/sample'],
      ['POST', '/v1/models'],
      ['PUT', `/v1/artifacts/${'0'.repeat(64)}`],
    ] as const) {
      expect((await mesh.call(path, { method }, 'client')).status).toBe(403);
    }
  });

  test('a rollout goes on after a restart', async () => {
    await mesh.serving('w');
    await mesh.coordinator.register(changedTask(), { mode: 'canary', share: 0.25 });
    const before = record();
    await mesh.restart();
    expect(record()).toEqual(before);
    expect(await info()).toMatchObject({ rollout: { mode: 'canary', share: 0.25, state: 'warming' } });
    const worker = await mesh.serving('w');
    expect(worker.held.size).toBe(2);
    await expect.poll(async () => (await info()).rollout?.state).toBe('serving');
    await post('/v1/models/sample/promote');
    await mesh.restart();
    expect(revisions()).toEqual([2, undefined, 1]);
  });
});

describe('deleting a task', () => {
  const remove = (query = '') => mesh.json(`/v1/models/sample${query}`, { method: 'DELETE' });
  const files = async () => {
    const contents = ['base', 'shared', 'golden'].map((text) => new TextEncoder().encode(text));
    return await Promise.all(contents.map((content) => mesh.coordinator.artifacts.write(content)));
  };

  test('is refused while it is in use, unless it is forced', async () => {
    const worker = await mesh.serving('w');
    worker.onExecute = () => {};
    const executing = worker.next('execute-request');
    const waiting = mesh.infer();
    await executing;
    expect(await remove()).toMatchObject([409, { code: 'MESH_MODEL_IN_USE', retryable: true }]);
    expect(await remove('?force=perhaps')).toMatchObject([400, { code: 'MESH_BAD_PARAMETER' }]);
    expect(await remove('?force=true')).toEqual([200, { deleted: 'sample' }]);
    await expect.poll(() => worker.held.size).toBe(0);
    expect(mesh.coordinator.records()).toEqual([]);
    worker.socket.terminate();
    expect((await waiting).status).toBe(503);
    expect(await remove()).toMatchObject([404, { code: 'MESH_UNKNOWN_TASK' }]);
  });

  test('is refused for a minute after an answer', async () => {
    await mesh.serving('w');
    await mesh.infer();
    const response = await mesh.call('/v1/models/sample', { method: 'DELETE' });
    expect(response.status).toBe(409);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(50);
  });

  test('deletes the files that no other task names, and the profiles', async () => {
    const [base, shared, golden] = (await files()).map((file) => ({ path: 'file', ...file }));
    if (base === undefined || shared === undefined || golden === undefined) throw new Error('Expected files');
    await remove('?force=true');
    await mesh.coordinator.register(
      sampleTask({ variants: [sampleVariant({ artifacts: [base, shared], golden })] }),
    );
    await mesh.coordinator.register(
      sampleTask({ task: 'other', variants: [sampleVariant({ task: 'other', artifacts: [shared] })] }),
    );
    await mesh.serving('w');
    const profiled = async () => {
      const [, body] = await mesh.json('/v1/profiles');
      return (body as { profiles: { task: string }[] }).profiles.map(({ task }) => task);
    };
    await expect.poll(profiled).toContain('sample');
    await remove('?force=true');
    const sizes = () =>
      Promise.all([base, shared, golden].map(({ sha256 }) => mesh.coordinator.artifacts.sizeOf(sha256)));
    await expect.poll(sizes).toEqual([undefined, shared.sizeBytes, undefined]);
    expect(await profiled()).not.toContain('sample');
    await mesh.restart();
    expect(await profiled()).not.toContain('sample');
  });

  test('a revision that falls out of the record takes its own files along', async () => {
    const [first, second, third] = (await files()).map((file) => ({ path: 'file', ...file }));
    if (first === undefined || second === undefined || third === undefined) throw new Error('Expected files');
    for (const [index, file] of [first, second, third].entries()) {
      const variants = [sampleVariant({ revision: index + 2, artifacts: [file] })];
      await mesh.coordinator.register(sampleTask({ source: `s${index}`, variants }));
    }
    expect(revisions()).toEqual([4, undefined, 3]);
    const sizes = () =>
      Promise.all([first, second, third].map(({ sha256 }) => mesh.coordinator.artifacts.sizeOf(sha256)));
    await expect.poll(sizes).toEqual([undefined, second.sizeBytes, third.sizeBytes]);
  });
});

test('a mesh without tokens takes no changes from pages of elsewhere', async () => {
  const open = await TestMesh.start({ isAuthRequired: false, allowedOrigins: ['https://console.example'] });
  try {
    await open.coordinator.register(sampleTask());
    const from = async (origin: string) => {
      const init = { method: 'POST', headers: { Origin: origin } };
      return (await fetch(`${open.url}/v1/models/sample/rollback`, init)).status;
    };
    expect(await from('https://evil.example')).toBe(403);
    expect(await from('https://console.example')).toBe(409);
    expect(await from(open.url)).toBe(409);
    // A name that was pointed here after its page had been loaded: to the browser this is the page's own origin.
    const rebound = { Host: 'evil.example', Origin: 'http://evil.example' };
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    request(`${open.url}/v1/models/sample/rollback`, { method: 'POST', headers: rebound }, resolve)
      .on('error', reject)
      .end();
    const answer = await promise;
    answer.resume();
    expect(answer.statusCode).toBe(403);
    const asked = { method: 'POST', body: JSON.stringify({ inputs: [SAMPLE_INPUT] }) };
    expect((await fetch(`${open.url}/v2/models/sample/infer`, asked)).status).toBe(503);
  } finally {
    await open.close();
  }
});
