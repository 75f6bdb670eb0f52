import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createToken } from '@nearfar/coordinator';
import { type NodeCoordinator, startNodeCoordinator } from '@nearfar/coordinator/node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FakeWorker } from '../../support/coordinator/fake-worker.ts';
import { sampleTask } from '../../support/coordinator/sample-task.ts';

let directory: string;
let mesh: NodeCoordinator;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nearfar-bounds-'));
  mesh = await startNodeCoordinator({
    port: 0,
    stateDirectory: directory,
    log: () => {},
    // Enough for one call and no more in the time of this test.
    callerRate: { ratePerSecond: 0.01, burst: 1 },
    maxHeldBytes: 1_000,
  });
  await mesh.coordinator.register(sampleTask());
});
afterAll(async () => {
  await mesh?.close();
  await rm(directory, { recursive: true, force: true });
});

async function infer(subject: string, pad = ''): Promise<Response> {
  const token = await createToken(mesh.secret, { role: 'client', subject });
  return await fetch(`${mesh.url}/v2/models/sample/infer`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}` },
    body: JSON.stringify({
      id: pad,
      inputs: [{ name: 'image', datatype: 'FP32', shape: [1, 1, 2, 2], data: [0, 1, 2, 3] }],
    }),
  });
}

test('a caller that calls too often is told when to come back; others are not held up', async () => {
  const workerToken = await createToken(mesh.secret, { role: 'worker', subject: 'workers' });
  const worker = await FakeWorker.dial(mesh.url, workerToken, 'w');
  await worker.serve(2);
  await expect.poll(() => mesh.coordinator.fleet.find('w')?.replicas().length).toBe(1);
  expect((await infer('eager')).status).toBe(200);
  const limited = await infer('eager');
  expect(limited.status).toBe(429);
  expect(Number(limited.headers.get('retry-after'))).toBeGreaterThan(1);
  expect(await limited.json()).toMatchObject({ code: 'MESH_RATE_LIMITED', retryable: true });
  expect((await infer('patient')).status).toBe(200);
  await worker.close();
});

test('bodies beyond what the mesh may hold are refused before they are read, and hold nothing', async () => {
  const refused = await infer('large', 'x'.repeat(2_000));
  expect(refused.status).toBe(503);
  expect(await refused.json()).toMatchObject({ code: 'MESH_QUEUE_FULL', retryable: true });
  // What was held before is free again: another body of nearly all of the budget is read, and refused for its id.
  const read = await infer('long-id', 'x'.repeat(800));
  expect(await read.json()).toMatchObject({ code: 'MESH_BAD_REQUEST' });
});
