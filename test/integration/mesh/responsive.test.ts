import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type MeshProcess, startMeshProcess } from '../../support/mesh-process.ts';

let mesh: MeshProcess;

beforeAll(async () => {
  mesh = await startMeshProcess(['--pool-workers', '0']);
  await mesh.ready(1);
}, 120_000);

afterAll(async () => {
  await mesh?.close();
});

/** Keeps the edge busy from a thread of its own, so that this one only measures. */
const LOAD = `
const { workerData, parentPort } = require('node:worker_threads');
const { url, token } = workerData;
const data = new Array(16 * 784).fill(0.1);
const body = JSON.stringify({
  parameters: { model: 'large', slo_ms: 5000 },
  inputs: [{ name: 'image', datatype: 'FP32', shape: [16, 1, 28, 28], data }],
});
let answered = 0;
let isStopped = false;
parentPort.on('message', () => { isStopped = true; });
async function loop() {
  while (!isStopped) {
    const response = await fetch(url + '/v2/models/fashion/infer', {
      method: 'POST', headers: { Authorization: 'Bearer ' + token, 'Content-Type': 'application/json' }, body,
    });
    await response.arrayBuffer();
    if (response.ok) answered += 1;
  }
}
Promise.all([loop(), loop(), loop()]).then(() => { parentPort.postMessage(answered); parentPort.close(); });
`;

test('while the edge is saturated with inference, liveness answers with p99 below 20 ms', async () => {
  const load = new Worker(LOAD, { eval: true, workerData: { url: mesh.url, token: mesh.token } });
  const times: number[] = [];
  for (let index = 0; index < 300; index += 1) {
    const startedAt = performance.now();
    const response = await fetch(`${mesh.url}/v2/health/live`);
    await response.arrayBuffer();
    times.push(performance.now() - startedAt);
    expect(response.status).toBe(200);
  }
  load.postMessage('stop');
  const [answered] = (await once(load, 'message')) as [number];
  expect(answered).toBeGreaterThan(0);
  times.sort((a, b) => a - b);
  expect(times[Math.ceil(0.99 * times.length) - 1]).toBeLessThan(20);
});
