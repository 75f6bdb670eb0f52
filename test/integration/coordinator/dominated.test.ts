import { Sketch } from '@nearfar/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FakeWorker } from '../../support/coordinator/fake-worker.ts';
import { sampleTask, sampleVariant } from '../../support/coordinator/sample-task.ts';
import { TestMesh } from '../../support/coordinator/test-mesh.ts';

const files = (sizeBytes: number) => [
  { path: 'm.onnx', sha256: String(sizeBytes).padStart(64, '0'), sizeBytes },
];
/** Slower and not smaller than the other one, and as accurate to within half a point. */
const slow = sampleVariant({
  variant: 'tiny-int8-onnx',
  precision: 'int8',
  artifacts: files(10_001),
  accuracy: { value: 0.905, source: 'measured', sampleSize: 1_000 },
});
const fast = sampleVariant({ artifacts: files(10_000) });

let mesh: TestMesh;
let worker: FakeWorker;

beforeEach(async () => {
  mesh = await TestMesh.start();
  await mesh.coordinator.register(sampleTask({ variants: [slow, fast] }));
  worker = await mesh.dial('w');
  await expect.poll(() => worker.held.size).toBe(2);
  worker.profile(({ variant }) => (variant === slow.variant ? 8 : 2));
  worker.report();
  await expect.poll(() => mesh.coordinator.fleet.find('w')?.replicas().length).toBe(2);
});
afterEach(() => mesh.close());

const chosen = async (parameters: Record<string, unknown> = {}, path?: string) =>
  (await mesh.infer(parameters, path)).parameters?.variant;

describe('a variant that is slower and not smaller', () => {
  test('is not chosen, also by who prefers accuracy, and the decision says why', async () => {
    const { parameters } = await mesh.infer({ prefer: 'accuracy' });
    expect(parameters?.variant).toBe(fast.variant);
    const [, decision] = await mesh.json(`/v1/decisions/${parameters?.decision_id}`);
    const { candidates } = decision as { candidates: { variant: string; reasons: { code: string }[] }[] };
    const codes = candidates.find(({ variant }) => variant === slow.variant)?.reasons.map(({ code }) => code);
    expect(codes).toEqual(['dominated']);
  });

  test('is chosen when it is pinned, or when the other one does not do', async () => {
    expect(await chosen({}, `/v2/models/sample/versions/${slow.variant}/infer`)).toBe(slow.variant);
    expect(await chosen({ min_accuracy: 0.903 })).toBe(slow.variant);
  });

  test('is chosen while the other one is not ready on that worker', async () => {
    worker.report(({ variant }) => (variant === fast.variant ? 'loading' : 'ready'));
    await expect.poll(() => chosen()).toBe(slow.variant);
  });

  test('is not in a lease, unless it is the more accurate one', async () => {
    const leased = async () => {
      const body = JSON.stringify({ task: 'sample', payloadBytes: 16 });
      const [, answer] = await mesh.json('/v1/placements', { method: 'POST', body }, 'client');
      const { lease } = answer as { lease: { remote: { variant: string }[] } };
      return lease.remote.map(({ variant }) => variant).sort();
    };
    expect(await leased()).toEqual([fast.variant, slow.variant].sort());
    const equal = { ...slow, accuracy: fast.accuracy };
    await mesh.coordinator.register(sampleTask({ source: 'equal', variants: [equal, fast] }));
    await expect.poll(leased).toEqual([fast.variant]);
  });
});

test('a page is not sent to a variant that another one of its own dominates', async () => {
  const deviceClass = 'webgpu:test';
  const profiles = [fast, slow].map(({ task, variant, revision }) => {
    const sketch = new Sketch();
    for (let run = 0; run < 50; run += 1) sketch.add(variant === slow.variant ? 8 : 2);
    return {
      task,
      variant,
      revision,
      deviceClass,
      batch: 1,
      epoch: 'e',
      version: 1,
      computeMs: sketch.toData(),
    };
  });
  const body = JSON.stringify({ outcomes: [], profiles });
  expect(await mesh.json('/v1/outcomes', { method: 'POST', body }, 'client')).toMatchObject([
    200,
    { profiles: 2 },
  ]);
  const place = async (...ready: (typeof fast)[]) => {
    const device = { deviceClass, ready: ready.map(({ variant, revision }) => ({ variant, revision })) };
    const parameters = { privacy: 'local_only', prefer: 'accuracy', slo_ms: 500 };
    const asked = JSON.stringify({ task: 'sample', payloadBytes: 16, device, parameters });
    const [, answer] = await mesh.json('/v1/placements', { method: 'POST', body: asked }, 'client');
    return (answer as { placement: { variant: string } | null }).placement?.variant;
  };
  expect(await place(fast, slow)).toBe(fast.variant);
  expect(await place(slow)).toBe(slow.variant);
});
