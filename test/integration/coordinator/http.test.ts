import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createToken } from '@nearfar/coordinator';
import { type NodeCoordinator, startNodeCoordinator } from '@nearfar/coordinator/node';
import {
  BINARY_HEADER,
  CLOSE_CODES,
  decodeInferResponse,
  encodeInferRequest,
  float32Tensor,
  joinBody,
} from '@nearfar/protocol';
import { encode as encodePng } from 'fast-png';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { FakeWorker } from '../../support/coordinator/fake-worker.ts';
import { sampleTask } from '../../support/coordinator/sample-task.ts';

let directory: string;
let mesh: NodeCoordinator;
let client: string;
let workerToken: string;
const workers: FakeWorker[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'nearfar-coordinator-'));
  mesh = await startNodeCoordinator({ port: 0, stateDirectory: directory, log: () => {} });
  await mesh.coordinator.register(sampleTask());
  client = await createToken(mesh.secret, { role: 'client', subject: 'test' });
  workerToken = await createToken(mesh.secret, { role: 'worker', subject: 'workers' });
});
afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.close()));
  await expect.poll(() => mesh.coordinator.fleet.list().length).toBe(0);
});
afterAll(async () => {
  await mesh?.close();
  await rm(directory, { recursive: true, force: true });
});

async function serving(id: string, computeMs = 2): Promise<FakeWorker> {
  const worker = await FakeWorker.dial(mesh.url, workerToken, id);
  workers.push(worker);
  await worker.serve(computeMs);
  await expect.poll(() => mesh.coordinator.fleet.find(id)?.replicas().length).toBe(1);
  return worker;
}

function call(path: string, init: RequestInit = {}, token = client): Promise<Response> {
  const headers = { Authorization: `Bearer ${token}`, ...(init.headers as Record<string, string>) };
  return fetch(mesh.url + path, { ...init, headers });
}

function infer(body: unknown, path = '/v2/models/sample/infer'): Promise<Response> {
  return call(path, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) });
}

const INPUT = { name: 'image', datatype: 'FP32', shape: [1, 1, 2, 2], data: [0, 1, 2, 3] };

async function errorOf(response: Response): Promise<[number, string]> {
  const body = (await response.json()) as { error: string; code: string; retryable: boolean };
  expect(typeof body.error).toBe('string');
  expect(typeof body.retryable).toBe('boolean');
  return [response.status, body.code];
}

describe('inference', () => {
  test('answers JSON with every response parameter, and accounts for it', async () => {
    await serving('w1');
    const response = await infer({ id: 'mine', inputs: [INPUT], parameters: { slo_ms: 500, explain: true } });
    const body = (await response.json()) as {
      id: string;
      parameters: Record<string, unknown>;
      outputs: unknown[];
    };
    expect(response.status).toBe(200);
    expect(body.id).toBe('mine');
    expect(body.outputs).toEqual([{ name: 'logits', datatype: 'FP32', shape: [1, 3], data: [0, 1, 2] }]);
    expect(body.parameters).toMatchObject({
      tier: 'pool',
      variant: 'tiny-fp32-onnx',
      worker: 'w1',
      accuracy: 0.9,
      queue_ms: 0.5,
      compute_ms: 2,
      batch_size: 1,
      slo_met: true,
    });
    expect(body.parameters.cost_usd).toBeCloseTo((0.8 / 3_600_000) * 2, 9);
    expect(JSON.parse(String(body.parameters.explanation))).toMatchObject({ choice: { kind: 'meets-slo' } });
    const decision = await call(`/v1/decisions/${body.parameters.decision_id}`);
    expect(await decision.json()).toMatchObject({ outcome: { status: 'ok' }, attempts: [{ worker: 'w1' }] });
    await expect
      .poll(async () => readFile(join(directory, 'accounts.jsonl'), 'utf8').catch(() => ''))
      .toContain(String(body.parameters.decision_id));
  });

  test('answers binary to binary, bit by bit', async () => {
    await serving('w1');
    const encoded = encodeInferRequest({ parameters: { binary_data_output: true } }, [
      float32Tensor('image', [2, 1, 2, 2], new Float32Array(8)),
    ]);
    const response = await call('/v2/models/sample/versions/tiny-fp32-onnx/infer', {
      method: 'POST',
      body: joinBody(encoded),
      headers: { [BINARY_HEADER]: String(encoded.headerBytes) },
    });
    expect(response.status).toBe(200);
    const headerBytes = Number(response.headers.get(BINARY_HEADER));
    const { tensors } = decodeInferResponse(new Uint8Array(await response.arrayBuffer()), headerBytes);
    expect(tensors.map(({ name, shape }) => ({ name, shape }))).toEqual([{ name: 'logits', shape: [2, 3] }]);
  });

  test('classifies a picture', async () => {
    await serving('w1');
    const picture = encodePng({ width: 2, height: 2, channels: 1, data: new Uint8Array([0, 80, 160, 255]) });
    const response = await call('/v1/tasks/sample/infer?slo_ms=2000', {
      method: 'POST',
      body: new Uint8Array(picture),
      headers: { 'Content-Type': 'image/png' },
    });
    expect(response.status).toBe(200);
    const body = (await response.json()) as { predictions: { label: string }[]; placement: { tier: string } };
    expect(body.predictions.map(({ label }) => label)).toEqual(['c', 'b', 'a']);
    expect(body.placement.tier).toBe('pool');
  });

  test('is decided again when its worker is lost or refuses', async () => {
    const cheap = await serving('cheap', 1);
    await serving('dear', 3);
    cheap.onExecute = (request) => cheap.refuse(request, 'MESH_QUEUE_FULL');
    const refused = (await (await infer({ inputs: [INPUT] })).json()) as {
      parameters: Record<string, unknown>;
    };
    expect(refused.parameters.worker).toBe('dear');
    cheap.onExecute = () => cheap.socket.terminate();
    const lost = (await (await infer({ inputs: [INPUT] })).json()) as { parameters: Record<string, unknown> };
    expect(lost.parameters.worker).toBe('dear');
    const decision = await call(`/v1/decisions/${lost.parameters.decision_id}`);
    expect(await decision.json()).toMatchObject({
      attempts: [{ worker: 'cheap', code: 'MESH_WORKER_LOST' }, { worker: 'dear' }],
    });
  });

  test('is cancelled in the worker when the caller goes away', async () => {
    const worker = await serving('w1');
    worker.onExecute = () => {};
    const abort = new AbortController();
    const executing = worker.next('execute-request');
    const cancelled = worker.next('execute-cancel');
    const response = call('/v2/models/sample/infer', {
      method: 'POST',
      body: JSON.stringify({ inputs: [INPUT] }),
      signal: abort.signal,
    });
    const request = await executing;
    abort.abort();
    await expect(response).rejects.toThrow();
    expect((await cancelled).requestId).toBe(request.requestId);
    await expect.poll(() => mesh.coordinator.fleet.find('w1')?.inFlight).toBe(0);
  });

  test('stops at its time limit', async () => {
    const worker = await serving('w1');
    worker.onExecute = () => {};
    const response = await infer({ inputs: [INPUT], parameters: { timeout: 30_000 } });
    expect(await errorOf(response)).toEqual([504, 'MESH_DEADLINE_EXCEEDED']);
  });

  test('is refused with what would have been feasible when a demand cannot be met', async () => {
    await serving('w1');
    const response = await infer({ inputs: [INPUT], parameters: { min_accuracy: 0.99 } });
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({
      code: 'MESH_NO_FEASIBLE_PLACEMENT',
      details: { nearest: { min_accuracy: 0.9 }, reasons: { 'accuracy-below-minimum': 1 } },
    });
  });
});

describe('bad input gets its documented error', () => {
  test('no worker', async () => {
    const response = await infer({ inputs: [INPUT] });
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await errorOf(response)).toEqual([503, 'MESH_NO_CAPACITY']);
  });

  test.each([
    ['wrong shape', { inputs: [{ ...INPUT, shape: [1, 1, 1, 4] }] }, 400, 'MESH_BAD_TENSOR'],
    ['wrong dtype', { inputs: [{ ...INPUT, datatype: 'INT32' }] }, 400, 'MESH_BAD_TENSOR'],
    ['too few elements', { inputs: [{ ...INPUT, data: [1] }] }, 400, 'MESH_BAD_TENSOR'],
    ['NaN SLO as text', { inputs: [INPUT], parameters: { slo_ms: 'NaN' } }, 400, 'MESH_BAD_PARAMETER'],
    ['NaN SLO', '{"inputs":[],"parameters":{"slo_ms":NaN}}', 400, 'MESH_BAD_REQUEST'],
    ['no inputs', {}, 400, 'MESH_BAD_REQUEST'],
  ])('%s', async (_, body, status, code) => {
    expect(await errorOf(await infer(body))).toEqual([status, code]);
  });

  test.each([
    ['unknown task', '/v2/models/nothing/infer', 404, 'MESH_UNKNOWN_TASK'],
    ['unknown variant', '/v2/models/sample/versions/nothing/infer', 404, 'MESH_UNKNOWN_VARIANT'],
    ['unknown route', '/v2/nothing', 404, 'MESH_NOT_FOUND'],
    ['NaN SLO in the query', '/v1/tasks/sample/infer?slo_ms=NaN', 400, 'MESH_BAD_PARAMETER'],
    ['negative SLO in the query', '/v1/tasks/sample/infer?slo_ms=-1', 400, 'MESH_BAD_PARAMETER'],
  ])('%s', async (_, path, status, code) => {
    expect(await errorOf(await infer({ inputs: [INPUT] }, path))).toEqual([status, code]);
  });

  test.each([
    ['image/png', 400, 'MESH_BAD_MEDIA'],
    ['image/jpeg', 400, 'MESH_BAD_MEDIA'],
    ['image/webp', 415, 'MESH_UNSUPPORTED_MEDIA_TYPE'],
  ])('not an image, sent as %s', async (type, status, code) => {
    const response = await call('/v1/tasks/sample/infer', {
      method: 'POST',
      body: 'no picture at all, but long enough to hold a header',
      headers: { 'Content-Type': type },
    });
    expect(await errorOf(response)).toEqual([status, code]);
  });

  test('truncated binary body', async () => {
    const encoded = encodeInferRequest({}, [float32Tensor('image', [1, 1, 2, 2], new Float32Array(4))]);
    const response = await call('/v2/models/sample/infer', {
      method: 'POST',
      body: joinBody(encoded).slice(0, -4),
      headers: { [BINARY_HEADER]: String(encoded.headerBytes) },
    });
    expect(await errorOf(response)).toEqual([400, 'MESH_BAD_BINARY_BODY']);
  });

  test('wrong token, no token, too weak a token', async () => {
    expect(await errorOf(await call('/v1/workers', {}, 'nonsense'))).toEqual([401, 'MESH_UNAUTHENTICATED']);
    expect(await errorOf(await fetch(`${mesh.url}/v1/workers`))).toEqual([401, 'MESH_UNAUTHENTICATED']);
    const forged = await createToken(new Uint8Array(32), { role: 'admin', subject: 'forger' });
    expect(await errorOf(await call('/v1/workers', {}, forged))).toEqual([401, 'MESH_UNAUTHENTICATED']);
    expect(await refusedUpgrade(client)).toBe(403);
    expect(await refusedUpgrade('nonsense')).toBe(401);
  });

  test('a body of 1 GB is refused before it is sent', async () => {
    const { hostname, port } = new URL(mesh.url);
    const socket = connect(Number(port), hostname);
    socket.write(
      `POST /v2/models/sample/infer HTTP/1.1\r\nHost: mesh\r\nAuthorization: Bearer ${client}\r\nContent-Length: 1073741824\r\n\r\n`,
    );
    const answer = await new Promise<string>((resolve) =>
      socket.once('data', (data) => resolve(data.toString())),
    );
    socket.destroy();
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer).toContain('MESH_BODY_TOO_LARGE');
  });

  test('garbage on the link closes it, and the server goes on', async () => {
    const worker = await FakeWorker.dial(mesh.url, workerToken, 'w1');
    await worker.next('worker-welcome');
    worker.socket.send(new Uint8Array(64).fill(9));
    expect((await worker.closed).code).toBe(CLOSE_CODES.badFrame);
    expect((await fetch(`${mesh.url}/v2/health/live`)).status).toBe(200);
  });

  test('two workers with one id: the first stays', async () => {
    await serving('twin');
    const second = await FakeWorker.dial(mesh.url, workerToken, 'twin');
    expect((await second.closed).code).toBe(CLOSE_CODES.idTaken);
    expect(mesh.coordinator.fleet.find('twin')?.state).toBe('active');
  });
});

describe('the rest of the interface', () => {
  test('artifacts come whole, by range and by tag', async () => {
    const { sha256 } = await mesh.coordinator.artifacts.write(new TextEncoder().encode('0123456789'));
    const whole = await call(`/v1/artifacts/${sha256}`);
    expect(await whole.text()).toBe('0123456789');
    const part = await call(`/v1/artifacts/${sha256}`, { headers: { Range: 'bytes=2-4' } });
    expect([part.status, await part.text(), part.headers.get('content-range')]).toEqual([
      206,
      '234',
      'bytes 2-4/10',
    ]);
    const tag = whole.headers.get('etag') ?? '';
    expect((await call(`/v1/artifacts/${sha256}`, { headers: { 'If-None-Match': tag } })).status).toBe(304);
    const beyond = await call(`/v1/artifacts/${sha256}`, { headers: { Range: 'bytes=10-' } });
    expect(await errorOf(beyond)).toEqual([416, 'MESH_RANGE_NOT_SATISFIABLE']);
    expect(await errorOf(await call(`/v1/artifacts/${'0'.repeat(64)}`))).toEqual([
      404,
      'MESH_UNKNOWN_ARTIFACT',
    ]);
  });

  test('readiness, workers, profiles and metrics follow the fleet', async () => {
    expect((await fetch(`${mesh.url}/v2/health/ready`)).status).toBe(503);
    await serving('w1');
    await expect.poll(async () => (await fetch(`${mesh.url}/v2/health/ready`)).status).toBe(200);
    expect(await (await call('/v1/workers')).json()).toMatchObject({
      workers: [{ workerId: 'w1', state: 'active' }],
    });
    const profiles = (await (await call('/v1/profiles')).json()) as { profiles: { deviceClass: string }[] };
    expect(profiles.profiles.map((profile) => profile.deviceClass)).toContain('cpu:w1');
    expect(await (await call('/metrics')).text()).toContain('nearfar_workers{tier="pool",state="active"} 1');
  });

  test('a caller sees its own decisions and no others; an admin sees all', async () => {
    await serving('w1');
    const answer = (await (await infer({ inputs: [INPUT] })).json()) as {
      parameters: { decision_id: string };
    };
    const id = answer.parameters.decision_id;
    const other = await createToken(mesh.secret, { role: 'client', subject: 'other' });
    const admin = await createToken(mesh.secret, { role: 'admin', subject: 'operator' });
    const seen = async (token: string) => {
      const one = await call(`/v1/decisions/${id}`, {}, token);
      const all = (await (await call('/v1/decisions', {}, token)).json()) as { decisions: { id: string }[] };
      return [one.status, all.decisions.some((decision) => decision.id === id)];
    };
    expect(await seen(client)).toEqual([200, true]);
    expect(await seen(other)).toEqual([404, false]);
    expect(await seen(admin)).toEqual([200, true]);
  });

  test('the secret is private', async () => {
    expect((await stat(join(directory, 'secret'))).mode & 0o777).toBe(0o600);
  });
});

function refusedUpgrade(token: string): Promise<number | undefined> {
  const socket = new WebSocket(`${mesh.url.replace('http', 'ws')}/v1/link`, {
    headers: { Authorization: `Bearer ${token}` },
  });
  socket.on('error', () => undefined);
  return new Promise((resolve) => {
    socket.once('unexpected-response', (_, response) => {
      resolve(response.statusCode);
      response.destroy();
    });
  });
}
