import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createToken } from '@nearfar/coordinator';
import {
  type NodeCoordinator,
  type NodeCoordinatorOptions,
  startNodeCoordinator,
} from '@nearfar/coordinator/node';
import { Sketch } from '@nearfar/core';
import { LIMITS } from '@nearfar/protocol';
import { afterEach, expect, test } from 'vitest';
import { FakeWorker } from '../../support/coordinator/fake-worker.ts';
import { sampleTask } from '../../support/coordinator/sample-task.ts';

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A mesh with the sample task. */
async function startMesh(options: Partial<NodeCoordinatorOptions> = {}): Promise<NodeCoordinator> {
  const stateDirectory = await mkdtemp(join(tmpdir(), 'nearfar-bounds-'));
  closers.push(() => rm(stateDirectory, { recursive: true, force: true }));
  const mesh = await startNodeCoordinator({ port: 0, stateDirectory, log: () => {}, ...options });
  closers.push(() => mesh.close());
  await mesh.coordinator.register(sampleTask());
  return mesh;
}

/** A worker that serves the sample task. */
async function serve(mesh: NodeCoordinator, id: string): Promise<FakeWorker> {
  const token = await createToken(mesh.secret, { role: 'worker', subject: 'workers' });
  const worker = await FakeWorker.dial(mesh.url, token, id);
  closers.push(() => worker.close());
  await worker.serve(2);
  await expect.poll(() => mesh.coordinator.fleet.find(id)?.replicas().length).toBe(1);
  return worker;
}

const INPUT = { name: 'image', datatype: 'FP32', shape: [1, 1, 2, 2], data: [0, 1, 2, 3] };

async function post(mesh: NodeCoordinator, path: string, subject: string, body: unknown): Promise<Response> {
  const token = await createToken(mesh.secret, { role: 'client', subject });
  return await fetch(mesh.url + path, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}` },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

const infer = (mesh: NodeCoordinator, subject: string, body: unknown = { inputs: [INPUT] }) =>
  post(mesh, '/v2/models/sample/infer', subject, body);

/** A request that announces `bytes` of body and sends one of them. */
async function stall(mesh: NodeCoordinator, subject: string, bytes: number): Promise<Socket> {
  const token = await createToken(mesh.secret, { role: 'client', subject });
  const { port } = new URL(mesh.url);
  const socket = connect(Number(port), '127.0.0.1');
  closers.push(async () => socket.destroy());
  await once(socket, 'connect');
  const head = `POST /v2/models/sample/infer HTTP/1.1\r\nHost: mesh\r\nAuthorization: Bearer ${token}\r\n`;
  const binary = 'Inference-Header-Content-Length: 100\r\n';
  socket.write(`${head}${binary}Content-Length: ${bytes}\r\n\r\n{`);
  return socket;
}

test('a caller that calls too often is told when to come back; others are not held up', async () => {
  // Enough for one call and no more in the time of this test.
  const mesh = await startMesh({ callerRate: { ratePerSecond: 0.01, burst: 1 } });
  await serve(mesh, 'w');
  expect((await infer(mesh, 'eager')).status).toBe(200);
  const limited = await infer(mesh, 'eager');
  expect(limited.status).toBe(429);
  expect(Number(limited.headers.get('retry-after'))).toBeGreaterThan(1);
  expect(await limited.json()).toMatchObject({ code: 'MESH_RATE_LIMITED', retryable: true });
  expect((await infer(mesh, 'patient')).status).toBe(200);
});

test('bodies that are promised and never come keep nobody else out', async () => {
  const mesh = await startMesh({ maxHeldBytes: 4 * LIMITS.maxBodyBytes });
  await serve(mesh, 'w');
  for (let caller = 0; caller < 8; caller += 1) await stall(mesh, `slow-${caller}`, LIMITS.maxBodyBytes);
  expect((await infer(mesh, 'quick')).status).toBe(200);
});

test('a caller whose bodies fill its share is refused, and gets its share back when they have ended', async () => {
  const mesh = await startMesh({ maxHeldBytes: 4_000 });
  await serve(mesh, 'w');
  const large = { id: 'x'.repeat(1_500), inputs: [INPUT] };
  const refused = await infer(mesh, 'large', large);
  expect(refused.status).toBe(503);
  expect(await refused.json()).toMatchObject({ code: 'MESH_QUEUE_FULL', retryable: true });
  expect((await infer(mesh, 'large')).status).toBe(200);
});

test('JSON is bounded tighter than binary, and the rows of a request are bounded', async () => {
  const mesh = await startMesh();
  const long = await infer(mesh, 'json', `{"inputs":[],"id":"${'x'.repeat(LIMITS.maxInferJsonBytes)}"}`);
  expect([long.status, await long.json()]).toMatchObject([413, { code: 'MESH_BODY_TOO_LARGE' }]);
  const rows = LIMITS.maxRows + 1;
  const many = { ...INPUT, shape: [rows, 1, 2, 2], data: new Array(rows * 4).fill(0) };
  const wide = await infer(mesh, 'rows', { inputs: [many] });
  expect([wide.status, await wide.json()]).toMatchObject([400, { code: 'MESH_BAD_TENSOR' }]);
});

test('a worker that is refused at the door leaves no connection behind', async () => {
  const mesh = await startMesh();
  const { port } = new URL(mesh.url);
  for (const [path, token] of [
    ['/v1/link', 'wrong'],
    ['/elsewhere', 'wrong'],
    ['//', ''],
  ] as const) {
    const socket = connect(Number(port), '127.0.0.1');
    await once(socket, 'connect');
    const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n';
    socket.write(`GET ${path} HTTP/1.1\r\nHost: mesh\r\n${upgrade}Authorization: Bearer ${token}\r\n\r\n`);
    let answer = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      answer += text;
    });
    // The mesh ends it by itself: nothing is sent from here any more.
    await once(socket, 'close');
    expect(answer).toMatch(/^HTTP\/1\.1 40[14] /);
  }
});

test('what a page reports is never taken for a worker’s profile', async () => {
  const mesh = await startMesh();
  const sketch = new Sketch();
  for (let run = 0; run < 50; run += 1) sketch.add(0.01);
  const report = { task: 'sample', variant: 'tiny-fp32-onnx', revision: 1, batch: 1, epoch: 'e', version: 1 };
  const profiles = ['cuda:nvidia-h100', 'cpu:w', 'webgpu:page'].map((deviceClass) => ({
    ...report,
    deviceClass,
    computeMs: sketch.toData(),
  }));
  // Nor does a page run several inputs at once: each size that it made up would be one more to keep.
  const sizes = [2, 3, 1_024].map((batch) => ({ ...report, batch, deviceClass: 'webgpu:page' }));
  profiles.push(...sizes.map((size) => ({ ...size, computeMs: sketch.toData() })));
  const answer = await post(mesh, '/v1/outcomes', 'page', { outcomes: [], profiles });
  expect(await answer.json()).toMatchObject({ profiles: 1 });
  // A worker of a class that only pages know is no candidate before it has measured itself.
  const token = await createToken(mesh.secret, { role: 'worker', subject: 'workers' });
  const worker = await FakeWorker.dial(mesh.url, token, 'w', {
    deviceClass: 'webgpu:page',
    hasProfile: false,
  });
  closers.push(() => worker.close());
  await worker.serve(2);
  await expect.poll(() => mesh.coordinator.fleet.find('w')?.replicas().length).toBe(1);
  const refused = await infer(mesh, 'caller');
  expect([refused.status, await refused.json()]).toMatchObject([503, { code: 'MESH_NO_CAPACITY' }]);
});

test('parts of a page’s footprint that no page has are left out, the others are kept', async () => {
  const mesh = await startMesh();
  const sketch = new Sketch();
  for (let run = 0; run < 50; run += 1) sketch.add(3);
  const report = { task: 'sample', variant: 'tiny-fp32-onnx', revision: 1, batch: 1, epoch: 'e', version: 1 };
  const footprint = {
    downloadMs: 120,
    compileMs: 12 * 3_600_000,
    runtimeBytes: 3_660_000,
    modelBytes: 2 ** 50,
  };
  const profile = { ...report, deviceClass: 'webgpu:page', computeMs: sketch.toData(), ...footprint };
  const learned = await post(mesh, '/v1/outcomes', 'page', { outcomes: [], profiles: [profile] });
  expect(await learned.json()).toMatchObject({ profiles: 1 });
  const token = await createToken(mesh.secret, { role: 'client', subject: 'page' });
  const answer = await fetch(`${mesh.url}/v1/profiles`, { headers: { Authorization: `Bearer ${token}` } });
  const { profiles } = (await answer.json()) as { profiles: Record<string, unknown>[] };
  expect(profiles).toMatchObject([{ downloadMs: 120, runtimeBytes: 3_660_000, samples: 50, isStale: false }]);
  expect(profiles[0]).not.toHaveProperty('compileMs');
  expect(profiles[0]).not.toHaveProperty('modelBytes');
});

test('an outcome that is reported twice is booked once', async () => {
  const mesh = await startMesh();
  const outcome = {
    task: 'sample',
    variant: 'tiny-fp32-onnx',
    revision: 1,
    tier: 'browser',
    deviceClass: 'wasm:x64-2',
    decisionId: 'page-decision-1',
    status: 'ok',
    predictedMs: 5,
    totalMs: 6,
  };
  const first = await post(mesh, '/v1/outcomes', 'page', { outcomes: [outcome] });
  expect(await first.json()).toMatchObject({ outcomes: 1 });
  const again = await post(mesh, '/v1/outcomes', 'page', { outcomes: [outcome] });
  expect(await again.json()).toMatchObject({ outcomes: 0 });
});

test.each([
  { network: { rtt: { meanMs: 1, varianceMs2: 1e308 } } },
  { network: { rtt: { meanMs: 1, varianceMs2: 1 }, uplinkBytesPerMs: 1e-320 } },
])('figures that no network has are refused: %j', async (over) => {
  const mesh = await startMesh();
  const asked = { task: 'sample', payloadBytes: 100, ...over };
  const answer = await post(mesh, '/v1/placements', 'page', asked);
  expect([answer.status, await answer.json()]).toMatchObject([400, { code: 'MESH_BAD_REQUEST' }]);
});
