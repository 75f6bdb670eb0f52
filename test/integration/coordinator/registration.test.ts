import type { Registrar, RegistrarEvent } from '@nearfar/coordinator';
import { nodeClock } from '@nearfar/coordinator/node';
import type { Clock, RegisteredTask, TaskRecord } from '@nearfar/core';
import type { RegistrationEvent, RegistrationRequest } from '@nearfar/protocol';
import { MeshError } from '@nearfar/protocol';
import { afterEach, describe, expect, test } from 'vitest';
import { sampleTask, sampleVariant } from '../../support/coordinator/sample-task.ts';
import { TestMesh } from '../../support/coordinator/test-mesh.ts';

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A registration that the test carries on by hand. */
interface Call {
  readonly request: RegistrationRequest;
  readonly known: TaskRecord | undefined;
  readonly emit: (event: RegistrarEvent) => void;
  readonly signal: AbortSignal;
  readonly resolve: (task: RegisteredTask) => void;
  readonly reject: (error: unknown) => void;
}

/** A registrar that does what the test says. */
class HandRegistrar implements Registrar {
  readonly calls: Call[] = [];

  register: Registrar['register'] = (request, known, emit, signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<RegisteredTask>();
    signal.addEventListener('abort', () => reject(signal.reason));
    this.calls.push({ request, known, emit, signal, resolve, reject });
    return promise;
  };

  /** The call with this number, from 0, as soon as it is there. */
  async call(number = 0): Promise<Call> {
    await expect.poll(() => this.calls.length).toBeGreaterThan(number);
    const call = this.calls[number];
    if (call === undefined) throw new Error('Expected a call');
    return call;
  }
}

const PROGRESS: RegistrarEvent = { type: 'progress', phase: 'generate', done: 0, total: 2 };

async function setUp(clock: Clock = nodeClock) {
  const registrar = new HandRegistrar();
  const logged: string[] = [];
  const mesh = await TestMesh.start({ registrar, clock, log: (level) => logged.push(level) });
  closers.push(() => mesh.close());
  const file = await mesh.coordinator.artifacts.write(new TextEncoder().encode('a model'));
  const artifact = { path: 'tiny.onnx', ...file };
  const made = sampleTask({ variants: [sampleVariant({ artifacts: [artifact] })] });
  const post = (body: unknown, init: RequestInit = {}) =>
    mesh.call('/v1/models', { method: 'POST', body: JSON.stringify(body), ...init });
  return { registrar, mesh, file, made, post, logged };
}

/** A registration of a task with this name. */
function asked(files: Record<string, unknown> = {}, task = 'sample') {
  const models = [{ name: 'tiny', format: 'onnx', path: 'tiny.onnx', licence: 'CC0-1.0' }];
  return { manifest: { task, kind: 'tensor', models }, files };
}

/** The lines of an answer as they come. */
async function* events(response: Response): AsyncGenerator<RegistrationEvent> {
  let rest = '';
  for await (const text of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) yield JSON.parse(line) as RegistrationEvent;
  }
  expect(rest).toBe('');
}

async function allOf(lines: AsyncIterable<RegistrationEvent>): Promise<RegistrationEvent[]> {
  const all: RegistrationEvent[] = [];
  for await (const line of lines) all.push(line);
  return all;
}

async function errorOf(response: Response): Promise<[number, unknown]> {
  return [response.status, ((await response.json()) as { code: unknown }).code];
}

test('says what happens as lines of JSON, and ends with the task', async () => {
  const { registrar, mesh, file, made, post } = await setUp();
  const answer = post({ ...asked({ 'tiny.onnx': file }), options: { rollout: { mode: 'now' } } });
  const call = await registrar.call();
  expect(call.request).toMatchObject({
    manifest: { task: 'sample' },
    files: { 'tiny.onnx': file },
    options: { maxAccuracyDrop: 0.01, generate: true },
  });
  expect(call.known).toBeUndefined();
  call.emit(PROGRESS);
  const response = await answer;
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/x-ndjson']);
  const lines = events(response);
  expect((await lines.next()).value).toEqual(PROGRESS);
  const accepted = { type: 'variant', variant: 'tiny-fp32-onnx', status: 'accepted' } as const;
  call.emit(accepted);
  expect((await lines.next()).value).toEqual(accepted);
  call.resolve(made);
  expect((await lines.next()).value).toMatchObject({ type: 'done', task: { task: 'sample', revision: 1 } });
  expect((await lines.next()).done).toBe(true);
  expect(mesh.coordinator.records()).toEqual([{ active: made }]);
});

test('says the last progress again while nothing happens, so that nobody gives the connection up', async () => {
  let pass = () => {};
  const sleep: Clock['sleep'] = (delayMs, signal) => {
    if (delayMs !== 15_000) return nodeClock.sleep(delayMs, signal);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    signal?.addEventListener('abort', () => reject(signal.reason));
    pass = resolve;
    return promise;
  };
  const { registrar, made, post } = await setUp({ ...nodeClock, sleep });
  const answer = post(asked());
  const call = await registrar.call();
  call.emit(PROGRESS);
  const lines = events(await answer);
  expect((await lines.next()).value).toEqual(PROGRESS);
  pass();
  expect((await lines.next()).value).toEqual(PROGRESS);
  call.resolve(made);
  expect((await lines.next()).value).toMatchObject({ type: 'done' });
});

test('gives the registrar what is known, and rolls out as it was asked to', async () => {
  const { registrar, mesh, made, file, post } = await setUp();
  await mesh.coordinator.register(made);
  await mesh.serving('w');
  const canary = { mode: 'canary', share: 0.5 };
  const answer = post({ ...asked(), options: { rollout: canary } });
  const call = await registrar.call();
  expect(call.known).toEqual({ active: made });
  const variants = [sampleVariant({ revision: 2, artifacts: [{ path: 'other.onnx', ...file }] })];
  call.resolve({ ...made, source: 'other', variants });
  const [done] = await allOf(events(await answer));
  expect(done).toMatchObject({ type: 'done', task: { revision: 1, rollout: { ...canary, revision: 2 } } });
});

describe('what goes wrong', () => {
  test('before anything happened is a plain error', async () => {
    const { registrar, mesh, file, post } = await setUp();
    expect(await errorOf(await post('nonsense'))).toEqual([400, 'MESH_BAD_REQUEST']);
    const misspelt = { ...asked(), manifest: { ...asked().manifest, lables: [] } };
    const refused = await post(misspelt);
    expect(await refused.json()).toMatchObject({
      code: 'MESH_BAD_MANIFEST',
      details: { issues: [{ field: 'lables' }] },
    });
    const missing = await post(
      asked({ 'tiny.onnx': file, 'eval/labels.idx': { ...file, sha256: '0'.repeat(64) } }),
    );
    expect(await missing.json()).toMatchObject({
      code: 'MESH_UNKNOWN_ARTIFACT',
      error: expect.stringContaining('"eval/labels.idx"'),
      details: { missing: ['eval/labels.idx'] },
    });
    const shorter = await post(asked({ 'tiny.onnx': { ...file, sizeBytes: 3 } }));
    expect(await errorOf(shorter)).toEqual([400, 'MESH_BAD_REQUEST']);
    const answer = post(asked());
    (await registrar.call()).reject(new MeshError('MESH_BAD_MODEL', 'Expected a model'));
    expect(await errorOf(await answer)).toEqual([400, 'MESH_BAD_MODEL']);
    expect(mesh.coordinator.records()).toEqual([]);
  });

  test('after that is the last line, and a mistake of ours tells nothing', async () => {
    const { registrar, mesh, post } = await setUp();
    for (const [index, [error, code]] of [
      [new MeshError('MESH_BAD_EVAL_DATA', 'Expected labels'), 'MESH_BAD_EVAL_DATA'],
      [new TypeError('secret path'), 'MESH_INTERNAL'],
    ].entries() as ArrayIterator<[number, [Error, string]]>) {
      const answer = post(asked());
      const call = await registrar.call(index);
      call.emit(PROGRESS);
      const response = await answer;
      call.reject(error);
      const [, last] = await allOf(events(response));
      expect(last).toMatchObject({ type: 'failed', error: { code } });
      expect(JSON.stringify(last)).not.toContain('secret');
    }
    expect(mesh.coordinator.records()).toEqual([]);
  });

  test('is not registered when a file that it is made of is not there', async () => {
    const { registrar, mesh, post } = await setUp();
    const answer = post(asked());
    (await registrar.call()).resolve(sampleTask());
    expect(await errorOf(await answer)).toEqual([404, 'MESH_UNKNOWN_ARTIFACT']);
    expect(mesh.coordinator.records()).toEqual([]);
  });

  test('a mesh without a registrar says so', async () => {
    const mesh = await TestMesh.start();
    closers.push(() => mesh.close());
    const answer = mesh.call('/v1/models', { method: 'POST', body: JSON.stringify(asked()) });
    expect(await errorOf(await answer)).toEqual([501, 'MESH_UNSUPPORTED']);
  });
});

describe('bounds', () => {
  test('one registration of a task at a time, two in all; the task is not deleted meanwhile', async () => {
    const { registrar, mesh, made, post } = await setUp();
    await mesh.coordinator.register(made);
    const first = post(asked());
    await registrar.call();
    const second = post(asked());
    expect(await errorOf(await second)).toEqual([409, 'MESH_REGISTRATION_BUSY']);
    const other = post(asked({}, 'other'));
    await registrar.call(1);
    const third = await post(asked({}, 'third'));
    expect(third.headers.get('retry-after')).toBe('5');
    expect(await errorOf(third)).toEqual([409, 'MESH_REGISTRATION_BUSY']);
    const deleted = mesh.call('/v1/models/sample?force=true', { method: 'DELETE' });
    expect(await errorOf(await deleted)).toEqual([409, 'MESH_REGISTRATION_BUSY']);
    for (const call of registrar.calls) call.reject(new MeshError('MESH_BAD_MODEL', 'no'));
    await Promise.all([first, other]);
    const again = post(asked());
    (await registrar.call(2)).resolve(made);
    expect((await again).status).toBe(200);
  });

  test('a caller that goes away ends it, and nothing is registered', async () => {
    const { registrar, mesh, made, post, logged } = await setUp();
    const abort = new AbortController();
    const answer = post(asked(), { signal: abort.signal });
    const call = await registrar.call();
    call.emit(PROGRESS);
    await answer;
    abort.abort();
    await expect.poll(() => call.signal.aborted).toBe(true);
    const again = post(asked());
    (await registrar.call(1)).resolve(made);
    expect((await again).status).toBe(200);
    expect(mesh.coordinator.records()).toEqual([{ active: made }]);
    // Nothing of ours failed.
    expect(logged).not.toContain('error');
  });

  test('a mesh that shuts down ends it', async () => {
    const { registrar, mesh, post } = await setUp();
    const answer = post(asked());
    const call = await registrar.call();
    call.emit(PROGRESS);
    const response = await answer;
    const last = allOf(events(response));
    await mesh.restart();
    expect(call.signal.aborted).toBe(true);
    expect((await last).at(-1)).toMatchObject({ type: 'failed', error: { code: 'MESH_DRAINING' } });
  });

  test('files of a task that is deleted stay while a registration may count on them', async () => {
    const { registrar, mesh, made, file, post } = await setUp();
    await mesh.coordinator.register(made);
    const answer = post(asked({ 'tiny.onnx': file }, 'other'));
    const call = await registrar.call();
    expect((await mesh.call('/v1/models/sample', { method: 'DELETE' })).status).toBe(200);
    expect(await mesh.coordinator.artifacts.sizeOf(file.sha256)).toBe(file.sizeBytes);
    call.reject(new MeshError('MESH_BAD_MODEL', 'no'));
    await answer;
    await expect.poll(() => mesh.coordinator.artifacts.sizeOf(file.sha256)).toBeUndefined();
  });
});
