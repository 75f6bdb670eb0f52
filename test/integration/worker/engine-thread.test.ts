import { float32Values, type Tensor } from '@nearfar/protocol';
import {
  EngineThread,
  type ModelFile,
  type ModelSource,
  SessionThreads,
  type ThreadTensor,
} from '@nearfar/worker';
import { describe, expect, test, vi } from 'vitest';
import { digitsVariant } from '../../support/worker/digits.ts';
import { modelSource } from '../../support/worker/model-variant.ts';

function logits(tensors: readonly Tensor[]): number[] {
  return tensors.flatMap((tensor) => [...float32Values(tensor)]);
}

async function largeModel(): Promise<ModelSource> {
  const variant = await digitsVariant('large');
  return modelSource(variant);
}

function file(path: string, values: readonly number[]): ModelFile {
  const bytes = new SharedArrayBuffer(values.length);
  new Uint8Array(bytes).set(values);
  return { path, bytes };
}

/** Empty pictures as one input. */
function pictures(rows: number): ThreadTensor[] {
  const shape = [rows, 1, 28, 28];
  return [{ name: 'image', datatype: 'FP32', shape, data: new Uint8Array(rows * 784 * 4) }];
}

describe('an engine thread', () => {
  test('is replaced, with its sessions, when a call takes too long', async () => {
    const engine = new EngineThread({ provider: 'cpu', threadsPerSession: 1, runTimeoutMs: 500 });
    await engine.load('large', await largeModel());
    // Seconds of work.
    await expect(engine.run('large', pictures(4_000))).rejects.toMatchObject({
      code: 'MESH_EXECUTION_FAILED',
      message: expect.stringContaining('"run" took longer than 500 ms'),
    });
    // Starting a thread and loading its sessions may take longer than a run is given; a probe has more time.
    await engine.probe('cpu');
    const again = await engine.run('large', pictures(1));
    expect(again.tensors[0]?.shape).toEqual([1, 10]);
    await engine.close();
  });

  test('is not replaced while two threads that were given up still compute, and is once they have ended', async () => {
    // No run can start a thread within this time, let alone be done.
    const engine = new EngineThread({ provider: 'cpu', threadsPerSession: 1, runTimeoutMs: 1 });
    await engine.load('large', await largeModel());
    const run = () => engine.run('large', pictures(1_000));
    await expect(run()).rejects.toThrow('took longer than 1 ms');
    await expect(run()).rejects.toThrow('took longer than 1 ms');
    await expect(run()).rejects.toMatchObject({
      code: 'MESH_EXECUTION_FAILED',
      message: expect.stringContaining('got 2 threads that still compute'),
    });
    const probe = () => engine.probe('cpu');
    const { runMs } = await vi.waitFor(probe, { timeout: 30_000, interval: 50 });
    expect(runMs).toBeGreaterThan(0);
    await engine.close();
  });

  test('fails a call on a session that it does not have', async () => {
    const engine = new EngineThread({ provider: 'cpu', threadsPerSession: 1 });
    await expect(engine.run('none', [])).rejects.toThrow('No session "none" is loaded');
    await engine.close();
  });

  test('runs shared inputs again and again', async () => {
    const engine = new EngineThread({ provider: 'cpu', threadsPerSession: 1 });
    await engine.load('large', await largeModel());
    const data = new Uint8Array(new SharedArrayBuffer(784 * 4));
    const image = { name: 'image', datatype: 'FP32', shape: [1, 1, 28, 28], data } as const;
    const first = await engine.run('large', [image]);
    const second = await engine.run('large', [image]);
    expect(logits(second.tensors)).toEqual(logits(first.tensors));
    await engine.close();
  });

  test.each([
    ['a file that is no model', { files: [file('large.onnx', [1, 2, 3])] }, /ERROR|protobuf/i],
    ['no file', { files: [] }, /^Expected an \.onnx file/],
    [
      'other inputs',
      { inputs: [{ name: 'picture', datatype: 'FP32', shape: [-1] }] },
      'Expected the inputs to be picture, the model has image',
    ],
    [
      'strings',
      { outputs: [{ name: 'logits', datatype: 'BYTES', shape: [-1] }] },
      /Expected "logits" to be one of BOOL, .*, got BYTES/,
    ],
  ] as const)('says why it cannot load a model with %s', async (_what, part, reason) => {
    const engine = new EngineThread({ provider: 'cpu', threadsPerSession: 1 });
    await expect(engine.load('bad', { ...(await largeModel()), ...part })).rejects.toMatchObject({
      code: 'MESH_VARIANT_FAILED',
      message: expect.stringMatching(reason),
    });
    await engine.close();
  });
});

describe('an engine with a thread for each session', () => {
  test('loads a session while another one computes', async () => {
    const engine = new SessionThreads({ provider: 'cpu', threadsPerSession: 1 });
    const source = await largeModel();
    await engine.load('busy', source);
    const order: string[] = [];
    // More than a second of work, against some tens of milliseconds of loading.
    const run = engine.run('busy', pictures(2_000)).then(() => order.push('run'));
    await engine.load('new', source).then(() => order.push('load'));
    await run;
    expect(order).toEqual(['load', 'run']);
    await engine.close();
  });

  test('starts no further thread while two of its sessions outlive their time limit, whichever they are of', async () => {
    const engine = new SessionThreads({ provider: 'cpu', threadsPerSession: 1, runTimeoutMs: 1 });
    const source = await largeModel();
    for (const session of ['a', 'b']) await engine.load(session, source);
    for (const session of ['a', 'b']) {
      await expect(engine.run(session, pictures(1_000))).rejects.toThrow('took longer than 1 ms');
    }
    await expect(engine.load('c', source)).rejects.toThrow('got 2 threads that still compute');
    await vi.waitFor(() => engine.load('c', source), { timeout: 30_000, interval: 50 });
    await engine.close();
  });

  test('loads nothing once it is closed', async () => {
    const engine = new SessionThreads({ provider: 'cpu', threadsPerSession: 1 });
    await engine.close();
    await engine.close();
    await expect(engine.load('late', await largeModel())).rejects.toThrow('The engine is closed');
  });
});
