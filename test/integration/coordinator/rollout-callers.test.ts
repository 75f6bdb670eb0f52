import type { RegisteredTask } from '@nearfar/core';
import type { Rollout, TaskInfo } from '@nearfar/protocol';
import { encode as encodePng } from 'fast-png';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FakeWorker } from '../../support/coordinator/fake-worker.ts';
import { changedTask, sampleTask, sampleVariant } from '../../support/coordinator/sample-task.ts';
import { TestMesh } from '../../support/coordinator/test-mesh.ts';

const ALL: Rollout = { mode: 'canary', share: 1 };
const picture = encodePng({
  width: 2,
  height: 2,
  channels: 1,
  depth: 8,
  data: Uint8Array.of(0, 51, 102, 255),
});

let mesh: TestMesh;
beforeEach(async () => {
  mesh = await TestMesh.start();
  await mesh.coordinator.register(sampleTask());
});
afterEach(() => mesh.close());

const rollout = async () => {
  const [, body] = await mesh.json('/v1/models', {}, 'client');
  return (body as { models: TaskInfo[] }).models[0]?.rollout;
};

/** Registers the next revision and has the workers serve it. */
async function serveNext(workers: readonly FakeWorker[], task: RegisteredTask, how: Rollout): Promise<void> {
  await mesh.coordinator.register(task, how);
  for (const worker of workers) {
    await expect.poll(() => worker.held.size).toBe(2);
    worker.profile(() => 2);
    worker.report();
    await expect.poll(() => mesh.coordinator.fleet.find(worker.id)?.replicas().length).toBe(2);
  }
  await expect.poll(async () => (await rollout())?.state).toBe('serving');
}

const askWithPicture = async () => {
  const headers = { 'Content-Type': 'image/png' };
  const init = { method: 'POST', headers, body: new Uint8Array(picture) };
  const [, answer] = await mesh.json('/v1/tasks/sample/infer?slo_ms=5000', init, 'client');
  return answer as { predictions: { label: string }[]; placement: { revision: number } };
};

describe('a revision that is dropped while it answers', () => {
  test('answers what it began, also when that is decided again, and leaves nothing behind after', async () => {
    const workers = [await mesh.serving('a'), await mesh.serving('b')];
    await serveNext(workers, changedTask(), ALL);
    let refused: FakeWorker | undefined;
    for (const worker of workers) {
      worker.onExecute = async (request, tensors) => {
        if (refused !== undefined) {
          worker.answer(request, tensors);
          return;
        }
        refused = worker;
        await mesh.call('/v1/models/sample/rollback', { method: 'POST' });
        worker.refuse(request, 'MESH_QUEUE_FULL');
      };
    }
    const { status, parameters } = await mesh.infer();
    expect([status, parameters?.revision]).toEqual([200, 2]);
    expect(parameters?.worker).not.toBe(refused?.id);
    for (const worker of workers) await expect.poll(() => worker.held.size).toBe(1);
    const profiled = async () => {
      const [, body] = await mesh.json('/v1/profiles');
      return (body as { profiles: { revision: number }[] }).profiles.map(({ revision }) => revision);
    };
    expect(await profiled()).toEqual([1, 1]);
  });
});

describe('a revision with other labels', () => {
  const relabelled = changedTask({ labels: ['x', 'y', 'z'] });

  test('answers pictures as a canary, and nobody who brings tensors', async () => {
    const worker = await mesh.serving('w');
    await serveNext([worker], relabelled, ALL);
    expect((await mesh.infer()).parameters?.revision).toBe(1);
    const { predictions, placement } = await askWithPicture();
    expect([predictions[0]?.label, placement.revision]).toEqual(['z', 2]);
    await mesh.call('/v1/models/sample/promote', { method: 'POST' });
    expect((await mesh.infer()).parameters?.revision).toBe(2);
  });

  test('is not run as a shadow, since the answers could not be compared', async () => {
    const worker = await mesh.serving('w');
    await serveNext([worker], relabelled, { mode: 'shadow', share: 1 });
    expect((await mesh.infer()).parameters?.revision).toBe(1);
    expect((await rollout())?.shadow).toEqual({ compared: 0, agreed: 0, skipped: 1, failed: 0 });
  });
});

test('a variant whose signature changes is loaded anew, though its weights are the same', async () => {
  const worker = await mesh.serving('w');
  const inputs = sampleTask().variants.flatMap((variant) => variant.inputs);
  const fixed = inputs.map((input) => ({ ...input, shape: [1, ...input.shape.slice(1)] }));
  const variants = [sampleVariant({ inputs: fixed, isBatchable: false })];
  await mesh.coordinator.register(sampleTask({ source: 'fixed', variants }));
  await expect.poll(() => [...worker.held.keys()]).toContain('sample/tiny-fp32-onnx/2');
});

test('what is on its way already only changes how it comes, where that is said', async () => {
  const worker = await mesh.serving('w');
  await serveNext([worker], changedTask(), { mode: 'shadow', share: 1 });
  await mesh.coordinator.register(changedTask(), ALL);
  expect(await rollout()).toMatchObject({ mode: 'canary', share: 1, revision: 2, state: 'serving' });
  await mesh.coordinator.register(changedTask());
  expect(await rollout()).toMatchObject({ mode: 'canary' });
  await mesh.coordinator.register(changedTask(), { mode: 'now', share: 1 });
  expect(mesh.coordinator.records()).toMatchObject([{ active: { revision: 2 }, previous: { revision: 1 } }]);
});
