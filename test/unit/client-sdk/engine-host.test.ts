import { float32Tensor, type ImagePreprocess } from '@nearfar/protocol';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { EngineHost, type EngineHostOptions } from '../../../client-sdk/src/engine/engine-host.ts';
import type { ModelFiles } from '../../../client-sdk/src/engine/messages.ts';
import { HandClock, rowsOf, variantSpec } from './builders.ts';
import { FakeWorkers } from './fake-worker.ts';

const model: ModelFiles = { spec: variantSpec(), files: [{ path: 'tiny.onnx', bytes: Uint8Array.of(1) }] };
const PICTURE_RULE: ImagePreprocess = {
  kind: 'image',
  input: 'x',
  width: 1,
  height: 1,
  channels: 'grayscale',
  layout: 'NCHW',
  invert: 'never',
  center: 'box',
  mean: [0],
  std: [1],
};
const start = { engine: 'ort-wasm', assetBase: undefined } as const;

/** A host with the workers that it creates. */
function hostOf(options: Partial<EngineHostOptions> = {}) {
  const workers = new FakeWorkers();
  const clock = new HandClock();
  const host = new EngineHost({ createWorker: workers.create, now: clock.now, start, ...options });
  const current = () => workers.current;
  return { host, workers, clock, current };
}

/** A host whose engine is started and has loaded `sessions`. */
async function readyHost(sessions: readonly string[], options: Partial<EngineHostOptions> = {}) {
  const ready = hostOf(options);
  const started = ready.host.start();
  ready.current().done();
  await started;
  for (const session of sessions) {
    const loaded = ready.host.load(session, model);
    ready.current().done();
    await loaded;
  }
  ready.current().requests.length = 0;
  return ready;
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});

afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('engine host', () => {
  test('sends one call at a time, in order', async () => {
    const { host, current } = await readyHost(['a']);
    const order: string[] = [];
    const first = host.run('a', [rowsOf('x', 1, 1)]).then(() => order.push('first'));
    const second = host.run('a', [rowsOf('x', 2, 2)]).then(() => order.push('second'));
    expect(current().kinds).toEqual(['run']);
    expect(host.pending).toBe(2);
    current().done();
    expect(current().kinds).toEqual(['run', 'run']);
    current().done();
    await Promise.all([first, second]);
    expect(order).toEqual(['first', 'second']);
    expect(host.pending).toBe(0);
  });

  test('tells what a call waited and what it took', async () => {
    const { host, clock, current } = await readyHost(['a']);
    const first = host.run('a', []);
    clock.ms = 5;
    const second = host.run('a', []);
    clock.ms = 30;
    current().done();
    clock.ms = 37;
    current().done([float32Tensor('y', [1], Float32Array.of(4))]);
    expect(await first).toMatchObject({ queueMs: 0, computeMs: 30 });
    expect(await second).toMatchObject({ queueMs: 25, computeMs: 7, outputs: [{ name: 'y' }] });
  });

  test('starting twice starts one engine', async () => {
    const { host, workers, current } = await readyHost([]);
    await host.start();
    expect(workers.all).toHaveLength(1);
    expect(current().kinds).toEqual([]);
  });

  test('an aborted call that waits never reaches the worker', async () => {
    const { host, current } = await readyHost(['a']);
    const caller = new AbortController();
    const running = host.run('a', []);
    const waiting = host.run('a', [], caller.signal);
    caller.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    expect(host.pending).toBe(1);
    current().done();
    await running;
    expect(current().kinds).toEqual(['run']);
  });

  test('a call that was aborted before is not made', async () => {
    const { host, workers } = hostOf();
    await expect(host.run('a', [], AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
    expect(workers.all).toEqual([]);
  });

  test('an abort during a run drops the result, and the next call waits for the engine and runs', async () => {
    const { host, workers, current } = await readyHost(['a']);
    const caller = new AbortController();
    const dropped = host.run('a', [], caller.signal);
    const next = host.run('a', []);
    caller.abort(new Error('gone'));
    await expect(dropped).rejects.toThrow('gone');
    expect(current().kinds).toEqual(['run']);
    current().done();
    expect(current().kinds).toEqual(['run', 'run']);
    current().done();
    await next;
    expect(workers.all).toHaveLength(1);
  });

  test('a run that takes too long is given up with its worker; the next gets a new one with its models', async () => {
    const { host, workers } = await readyHost(['a', 'b'], { runTimeoutMs: 1_000 });
    const stuck = host.run('a', []);
    const next = host.run('b', []);
    await Promise.all([
      expect(stuck).rejects.toMatchObject({ code: 'MESH_EXECUTION_FAILED' }),
      vi.advanceTimersByTimeAsync(1_000),
    ]);
    const [former, latter] = workers.all;
    expect(former?.isTerminated).toBe(true);
    expect(latter?.kinds).toEqual(['start', 'load', 'load', 'run']);
    expect(latter?.requests.flatMap(({ call }) => ('session' in call ? [call.session] : []))).toEqual([
      'a',
      'b',
      'b',
    ]);
    latter?.done();
    await next;
  });

  test('loading has a longer limit than running', async () => {
    const { host, workers, current } = await readyHost([]);
    const loading = host.load('a', model);
    await vi.advanceTimersByTimeAsync(60_000);
    current().done();
    await loading;
    expect(workers.all).toHaveLength(1);
  });

  test('a failed run ends the worker, and the next call gets a new one', async () => {
    const { host, workers, current } = await readyHost(['a']);
    const failing = host.run('a', []);
    current().fail('device lost');
    await expect(failing).rejects.toMatchObject({
      code: 'MESH_EXECUTION_FAILED',
      message: 'The engine gave up: device lost',
    });
    expect(workers.all.map(({ isTerminated }) => isTerminated)).toEqual([true]);
    const next = host.run('a', []);
    expect(current().kinds).toEqual(['start', 'load', 'run']);
    current().done();
    await next;
  });

  test('a failed load fails with the code of the engine and keeps the worker', async () => {
    const { host, workers, current } = await readyHost(['a']);
    const failing = host.load('b', model);
    current().fail('no files', 'MESH_VARIANT_FAILED');
    await expect(failing).rejects.toMatchObject({ code: 'MESH_VARIANT_FAILED', message: 'no files' });
    expect(workers.all).toHaveLength(1);
  });

  test('an engine that does not start says so each time it is asked to', async () => {
    const { host, current } = hostOf();
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const started = host.start();
      current().fail('no WebGPU', 'MESH_DEVICE_UNAVAILABLE');
      await expect(started).rejects.toMatchObject({ code: 'MESH_DEVICE_UNAVAILABLE', message: 'no WebGPU' });
    }
  });

  test('an engine that is started again gets its models after the start', async () => {
    const { host, current } = await readyHost(['a']);
    const failing = host.run('a', []);
    current().fail('device lost');
    await expect(failing).rejects.toMatchObject({ code: 'MESH_EXECUTION_FAILED' });
    const started = host.start();
    expect(current().kinds).toEqual(['start', 'load']);
    host.close();
    await expect(started).rejects.toMatchObject({ code: 'MESH_EXECUTION_FAILED' });
  });

  test('a worker that dies fails its call; one that was replaced already does no harm any more', async () => {
    const { host, workers, current } = await readyHost(['a']);
    const failing = host.run('a', []);
    workers.all[0]?.crash('out of memory');
    await expect(failing).rejects.toThrow('out of memory');
    const next = host.run('a', []);
    workers.all[0]?.crash('out of memory again');
    current().done();
    await next;
    expect(workers.all).toHaveLength(2);
  });

  test('a model that was unloaded is not loaded again', async () => {
    const { host, current } = await readyHost(['a', 'b']);
    const unloaded = host.unload('a');
    current().done();
    await unloaded;
    await host.unload('never loaded');
    const failing = host.run('b', []);
    current().fail('device lost');
    await expect(failing).rejects.toThrow('device lost');
    const next = host.run('b', []);
    expect(current().requests.map(({ call }) => ('session' in call ? call.session : call.kind))).toEqual([
      'start',
      'b',
      'b',
    ]);
    current().done();
    await next;
  });

  test('a host for pictures has no engine to start, and hands bitmaps over instead of copying them', async () => {
    const Bitmap = class ImageBitmap {
      close() {}
    };
    vi.stubGlobal('ImageBitmap', Bitmap);
    const workers = new FakeWorkers();
    const host = new EngineHost({ createWorker: workers.create, now: new HandClock().now });
    await host.start();
    expect(workers.all).toEqual([]);
    const bitmap = new Bitmap() as ImageBitmap;
    const picture = host.picture({ kind: 'picture', source: bitmap, rule: PICTURE_RULE });
    expect(workers.current.kinds).toEqual(['picture']);
    expect(workers.current.transferred).toEqual([bitmap]);
    workers.current.done([rowsOf('x', 1, 2)]);
    expect(await picture).toEqual([rowsOf('x', 1, 2)]);
    expect(workers.all).toHaveLength(1);
  });

  test('close rejects what runs and what waits, and may be called twice', async () => {
    const { host, current } = await readyHost(['a']);
    const running = host.run('a', []);
    const waiting = host.run('a', []);
    host.close();
    host.close();
    await expect(running).rejects.toThrow('closed');
    await expect(waiting).rejects.toMatchObject({ code: 'MESH_CANCELLED' });
    expect(current().isTerminated).toBe(true);
    expect(host.pending).toBe(0);
    await expect(host.run('a', [])).rejects.toMatchObject({ code: 'MESH_CANCELLED' });
  });

  test('waking resolves when the worker answers and rejects when its script cannot be loaded', async () => {
    const { host, current } = hostOf({});
    const woken = host.wake();
    current().done();
    await woken;
    const other = hostOf({});
    const failing = other.host.wake();
    other.current().crash('');
    await expect(failing).rejects.toThrow('could not be loaded');
  });

  test('a worker that cannot even be created fails the call, and the next one tries again', async () => {
    const workers = new FakeWorkers();
    let attempts = 0;
    const createWorker = () => {
      attempts += 1;
      if (attempts <= 2) throw new DOMException('Another origin', 'SecurityError');
      return workers.create();
    };
    const { host } = hostOf({ createWorker });
    await expect(host.start()).rejects.toMatchObject({ code: 'MESH_EXECUTION_FAILED' });
    await expect(host.run('a', [])).rejects.toThrow('Another origin');
    const started = host.start();
    workers.current.done();
    await started;
    expect(host.pending).toBe(0);
    host.close();
  });
});
