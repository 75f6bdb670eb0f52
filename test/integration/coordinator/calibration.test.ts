import type { Candidate, PlacementResponse } from '@nearfar/protocol';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sampleTask } from '../../support/coordinator/sample-task.ts';
import { TestMesh } from '../../support/coordinator/test-mesh.ts';

/** What the worker's profile says, and what it really takes: a machine that has become slower. */
const PROFILE_MS = 2;
const ACTUAL_MS = 30;

let mesh: TestMesh;

beforeEach(async () => {
  mesh = await TestMesh.start();
  await mesh.coordinator.register(sampleTask());
  const worker = await mesh.serving('w', PROFILE_MS);
  worker.onExecute = (request, tensors) => {
    setTimeout(() => worker.answer(request, tensors), ACTUAL_MS);
  };
});
afterEach(() => mesh.close());

/** A request with the explanation of its decision, and what its parts were predicted to take together. */
async function explained() {
  const { parameters } = await mesh.infer({ explain: true });
  const [status, decision] = await mesh.json(`/v1/decisions/${parameters?.decision_id}`);
  expect(status).toBe(200);
  const [candidate] = (decision as { candidates: Candidate[] }).candidates;
  const partsMs = Object.values(candidate?.parts ?? {}).reduce((sum, { meanMs }) => sum + meanMs, 0);
  return { candidate, partsMs, predictedMs: Number(parameters?.predicted_ms) };
}

test('predictions follow what requests really take, everywhere alike', async () => {
  expect((await explained()).partsMs).toBeLessThan(2 * PROFILE_MS);
  for (let request = 0; request < 30; request += 1) await mesh.infer();
  const { candidate, partsMs, predictedMs } = await explained();
  expect(partsMs).toBeGreaterThan(ACTUAL_MS * 0.8);
  expect(partsMs).toBeLessThan(ACTUAL_MS * 20);
  expect(candidate?.predictedMs).toBeCloseTo(predictedMs, 6);
  expect((candidate?.spentMs ?? 0) + partsMs).toBeCloseTo(predictedMs, 6);

  // A page is told the same, and adds its own network, which was not part of it.
  const network = { rtt: { meanMs: 100, varianceMs2: 1 } };
  const body = JSON.stringify({ task: 'sample', payloadBytes: 0, parameters: { slo_ms: 5_000 }, network });
  const [, answer] = await mesh.json('/v1/placements', { method: 'POST', body }, 'client');
  const { placement, lease } = answer as PlacementResponse;
  expect(placement?.predicted_ms).toBeGreaterThan(100 + ACTUAL_MS * 0.8);
  expect(placement?.predicted_ms).toBeLessThan(100 + ACTUAL_MS * 20);
  expect(lease.remote[0]?.compute.meanMs).toBeGreaterThan(ACTUAL_MS / 3);

  // What cannot be on time any more is not said to be.
  const late = await mesh.infer({ slo_ms: 10, on_infeasible: 'reject' });
  expect(late.code).toBe('MESH_NO_FEASIBLE_PLACEMENT');

  const metrics = await (await mesh.call('/metrics')).text();
  expect(metrics).toMatch(/nearfar_promised_latencies_total\{level="0.95",kept="true"\} \d+/);
});
