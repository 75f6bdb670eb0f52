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

/** Keeps the edge busy from a thread of its own, so that this one only measures. Says so once it has answers. */
const LOAD = `
const { workerData, parentPort } = require('node:worker_threads');
const { url, token } = workerData;
const data = new Array(16 * 784).fill(0.1);
const body = JSON.stringify({
  parameters: { model: 'large', slo_ms: 5000 },
  inputs: [{ name: 'image', datatype: 'FP32', shape: [16, 1, 28, 28], data }],
});
const LOOPS = 6;
let answered = 0;
let isStopped = false;
parentPort.on('message', () => { isStopped = true; });
async function loop() {
  while (!isStopped) {
    const response = await fetch(url + '/v2/models/fashion/infer', {
      method: 'POST', headers: { Authorization: 'Bearer ' + token, 'Content-Type': 'application/json' }, body,
    });
    await response.arrayBuffer();
    if (!response.ok) throw new Error('Expected answers to the load, got HTTP ' + response.status);
    answered += 1;
    if (answered === LOOPS) parentPort.postMessage('busy');
  }
}
Promise.all(Array.from({ length: LOOPS }, loop)).then(() => parentPort.close());
`;

/** Time over which answers are collected: many batches of the load. */
const MEASURED_MS = 2_000;

/** 99th percentile of the time that `GET /v2/health/live` takes, one request after another. */
async function liveP99Ms(): Promise<number> {
  const times: number[] = [];
  const endsAt = performance.now() + MEASURED_MS;
  while (performance.now() < endsAt) {
    const startedAt = performance.now();
    const response = await fetch(`${mesh.url}/v2/health/live`);
    await response.arrayBuffer();
    times.push(performance.now() - startedAt);
    expect(response.status).toBe(200);
  }
  times.sort((a, b) => a - b);
  return times[Math.ceil(0.99 * times.length) - 1] ?? Number.POSITIVE_INFINITY;
}

/** The same while the edge always has more to do than it can. */
async function busyP99Ms(): Promise<number> {
  const load = new Worker(LOAD, { eval: true, workerData: { url: mesh.url, token: mesh.token } });
  const inFlight = async () => (await mesh.workers())[0]?.inFlight;
  const [isBusy] = (await once(load, 'message')) as [string];
  expect(isBusy).toBe('busy');
  expect(await inFlight()).toBeGreaterThan(1);
  const p99Ms = await liveP99Ms();
  expect(await inFlight()).toBeGreaterThan(1);
  load.postMessage('stop');
  await once(load, 'exit');
  return p99Ms;
}

test('while the edge is saturated with inference, liveness answers with p99 below 20 ms', async () => {
  let p99Ms = await busyP99Ms();
  // An idle mesh answers in 1 to 2 ms. Where it takes more than 10, the machine was busy with something else
  // meanwhile, and the mesh is measured once more.
  if (p99Ms >= 20 && (await liveP99Ms()) > 10) p99Ms = await busyP99Ms();
  expect(p99Ms).toBeLessThan(20);
});
