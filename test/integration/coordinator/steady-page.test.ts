import { createMesh, type Mesh } from '@nearfar/client';
import { createToken } from '@nearfar/coordinator';
import { float32Tensor } from '@nearfar/protocol';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sampleTask } from '../../support/coordinator/sample-task.ts';
import { TestMesh } from '../../support/coordinator/test-mesh.ts';

const REQUESTS = 300;
const COMPUTE_MS = 5;

let mesh: TestMesh;
let page: Mesh;

beforeEach(async () => {
  mesh = await TestMesh.start();
  await mesh.coordinator.register(sampleTask());
  const worker = await mesh.serving('w', COMPUTE_MS);
  worker.onExecute = (request, tensors) => void setTimeout(() => worker.answer(request, tensors), COMPUTE_MS);
  const token = await createToken(mesh.secret, { role: 'client', subject: 'visitors' });
  page = createMesh({ endpoint: mesh.url, token });
});
afterEach(async () => {
  await page.close();
  await mesh.close();
});

test('a page whose every request goes to the mesh decides at least 95 % of them without waiting for it', async () => {
  const image = float32Tensor('image', [1, 1, 2, 2], Float32Array.of(0, 1, 2, 3));
  for (let request = 0; request < REQUESTS; request += 1) {
    const { placement } = await page.infer('sample', image, { sloMs: 5_000 });
    expect(placement.tier).toBe('pool');
  }
  const { total, waited } = page.status().decisions;
  expect(total).toBe(REQUESTS);
  expect(waited).toBeLessThanOrEqual(0.05 * REQUESTS);
  // Not because it did without a lease: nearly all of them were let through by one.
  await page.close();
  const metrics = await (await mesh.call('/metrics')).text();
  const [, reported] = /nearfar_lease_requests_total\{state="reported"\} (\d+)/.exec(metrics) ?? [];
  expect(Number(reported)).toBeGreaterThan(0.8 * REQUESTS);
});
