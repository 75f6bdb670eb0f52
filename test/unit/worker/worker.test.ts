import {
  encodeFrame,
  float32Tensor,
  float32Values,
  LIMITS,
  type Tensor,
  type VariantSpec,
  type WorkerMessage,
} from '@nearfar/protocol';
import { describe, expect, test } from 'vitest';
import { settled } from '../../support/worker/manual-clock.ts';
import { RecordingLink } from '../../support/worker/recording-link.ts';
import { type ConnectedOptions, connectedWorker, rows, variantSpec } from './builders.ts';

interface ReadyOptions extends ConnectedOptions {
  readonly spec?: VariantSpec;
  /** Milliseconds that each input after the first takes; default 0. */
  readonly rowMs?: number;
}

/** A connected worker with one slot and a variant that takes 10 ms; its runs wait for the test from then on. */
async function readyWorker({ spec = variantSpec(), rowMs = 0, ...options }: ReadyOptions = {}) {
  const { clock, engine, worker, link } = connectedWorker(options);
  engine.rowMs = rowMs;
  link.deliver({ type: 'variant-load', spec });
  await link.until(() => link.of('load-report').find((report) => report.replicas[0]?.state === 'ready'));
  engine.isHolding = true;
  const run = async (position: number) => {
    engine.held[position]?.finish();
    await settled();
  };
  return { clock, engine, worker, link, run };
}

const refusal = (link: RecordingLink, requestId: string) => {
  const message = link.answer(requestId)?.message;
  return message?.type === 'execute-refused' ? message.error.code : message?.type;
};

/** A link that, like a socket's, refuses what does not fit a frame. */
class FramedLink extends RecordingLink {
  override send(message: WorkerMessage, tensors: readonly Tensor[] = []): void {
    encodeFrame({ message, tensors });
    super.send(message, tensors);
  }
}

describe('a worker', () => {
  test('says hello, then reports a profile of every batch size that it may run', async () => {
    const { link, worker } = await readyWorker();
    expect(link.of('worker-hello')).toMatchObject([
      { workerId: 'worker', slots: 1, formats: ['onnx', 'tfjs'] },
    ]);
    const batches = link.of('profile-report').flatMap(({ reports }) => reports.map((report) => report.batch));
    expect(batches).toEqual([1, 2, 4]);
    await worker.close();
  });

  test('joins what waits into one batch and gives everyone their own rows back', async () => {
    const { engine, link, worker, run } = await readyWorker();
    link.execute({ requestId: 'first', variant: 'copy' }, rows(1, 2));
    link.execute({ requestId: 'second', variant: 'copy' }, rows(3, 4));
    link.execute({ requestId: 'third', variant: 'copy' }, rows(5, 6, 7, 8));
    await run(0);
    expect(engine.held[1]?.tensors[0]?.shape).toEqual([3, 2]);
    await run(1);
    const values = (requestId: string) =>
      link.answer(requestId)?.tensors.map((tensor) => [tensor.shape, [...float32Values(tensor)]]);
    expect(values('second')).toEqual([
      [
        [1, 2],
        [3, 4],
      ],
    ]);
    expect(values('third')).toEqual([
      [
        [2, 2],
        [5, 6, 7, 8],
      ],
    ]);
    expect(link.answer('third')?.message).toMatchObject({
      type: 'execute-result',
      batchSize: 3,
      computeMs: 10,
    });
    await worker.close();
  });

  test('says where in its batch a request lies: offsets and sizes tile the batch', async () => {
    const { link, worker, run } = await readyWorker();
    link.execute({ requestId: 'alone', variant: 'copy' }, rows(1, 2));
    link.execute({ requestId: 'one', variant: 'copy' }, rows(1, 2));
    link.execute({ requestId: 'two', variant: 'copy' }, rows(3, 4, 5, 6));
    link.execute({ requestId: 'three', variant: 'copy' }, rows(7, 8));
    await run(0);
    await run(1);
    const places = link.of('execute-result').map((result) => [result.batchOffset, result.batchSize]);
    expect(places).toEqual([
      [0, 1],
      [0, 4],
      [1, 4],
      [3, 4],
    ]);
    await worker.close();
  });

  test('runs a request larger than a batch in parts, one after another, and joins its outputs', async () => {
    const { engine, link, worker, run } = await readyWorker();
    const values = Array.from({ length: 20 }, (_, index) => index);
    link.execute({ requestId: 'large', variant: 'copy' }, rows(...values));
    link.execute({ requestId: 'next', variant: 'copy' }, rows(1, 2));
    for (const part of [0, 1, 2]) {
      expect(engine.held).toHaveLength(part + 1);
      expect(link.answer('large')).toBeUndefined();
      await run(part);
    }
    expect(engine.held.map(({ tensors }) => tensors[0]?.shape)).toEqual([
      [4, 2],
      [4, 2],
      [2, 2],
      [1, 2],
    ]);
    const answer = link.answer('large');
    expect(answer?.message).toMatchObject({ batchSize: 10, batchOffset: 0, computeMs: 30 });
    expect(answer?.tensors.map((tensor) => [tensor.name, tensor.shape, [...float32Values(tensor)]])).toEqual([
      ['y', [10, 2], values],
    ]);
    await worker.close();
  });

  test('counts a request larger than a batch in its backlog as the parts that it runs in', async () => {
    const { link, worker } = await readyWorker({ queueCapacity: 1 });
    link.execute({ requestId: 'running', variant: 'copy' }, rows(1, 2));
    link.execute({ requestId: 'large', variant: 'copy' }, rows(...new Array(20).fill(0)));
    link.execute({ requestId: 'refused', variant: 'copy' }, rows(1, 2));
    expect(link.of('execute-refused')[0]?.load.backlogMs).toBeCloseTo(40, 5);
    await worker.close();
  });

  test('refuses a request whose outputs do not fit a frame, and goes on', async () => {
    const free = (name: string) => [{ name, datatype: 'FP32' as const, shape: [-1, -1] }];
    const spec = variantSpec({ inputs: free('x'), outputs: free('y') });
    const { link, worker, run } = await readyWorker({ spec, link: new FramedLink() });
    const width = LIMITS.maxFrameBytes / 4;
    const large = float32Tensor('x', [1, width], new Float32Array(width));
    link.execute({ requestId: 'large', variant: 'copy' }, [large]);
    link.execute({ requestId: 'next', variant: 'copy' }, rows(1, 2));
    await run(0);
    expect(refusal(link, 'large')).toBe('MESH_EXECUTION_FAILED');
    expect(link.of('execute-refused')[0]?.error.error).toContain('Expected a frame of at most');
    await run(1);
    expect(refusal(link, 'next')).toBe('execute-result');
    await worker.close();
  });

  test('does not batch a variant without a free batch axis', async () => {
    const spec = variantSpec({ isBatchable: false });
    const { engine, link, worker, run } = await readyWorker({ spec });
    for (const requestId of ['a', 'b', 'c']) link.execute({ requestId, variant: 'copy' }, rows(1, 2));
    await run(0);
    expect(engine.held[1]?.tensors[0]?.shape).toEqual([1, 2]);
    await worker.close();
  });

  test('leaves out of a batch what would make its head late', async () => {
    const { engine, link, worker, run } = await readyWorker({ rowMs: 4 });
    link.execute({ requestId: 'running', variant: 'copy' }, rows(1, 2));
    link.execute({ requestId: 'urgent', variant: 'copy', budgetMs: 12 }, rows(1, 2));
    link.execute({ requestId: 'patient', variant: 'copy' }, rows(1, 2));
    await run(0);
    expect(engine.held[1]?.tensors[0]?.shape).toEqual([1, 2]);
    await worker.close();
  });

  test('behind a long queue serves full batches before an urgent request that would keep one small', async () => {
    const { engine, link, worker, run } = await readyWorker({ rowMs: 2, queueCapacity: 20 });
    link.execute({ requestId: 'running', variant: 'copy' }, rows(1, 2));
    link.execute({ requestId: 'urgent', variant: 'copy', budgetMs: 11 }, rows(1, 2));
    for (let index = 0; index < 12; index += 1) {
      link.execute({ requestId: `patient-${index}`, variant: 'copy' }, rows(1, 2));
    }
    await run(0);
    expect(engine.held[1]?.tensors[0]?.shape).toEqual([4, 2]);
    await worker.close();
  });

  test('gives up what a free slot could not answer in time any more, and runs what it could', async () => {
    const { clock, engine, link, worker, run } = await readyWorker();
    link.execute({ requestId: 'running', variant: 'copy' }, rows(1, 2));
    link.execute({ requestId: 'late', variant: 'copy', budgetMs: 20 }, rows(1, 2));
    link.execute({ requestId: 'in time', variant: 'copy', budgetMs: 25 }, rows(3, 4));
    await clock.advance(14);
    expect(refusal(link, 'late')).toBeUndefined();
    await run(0);
    const [refused] = link.of('execute-refused');
    expect(refused).toMatchObject({ requestId: 'late', error: { code: 'MESH_DEADLINE_EXCEEDED' } });
    expect(refused?.error.error).toMatch(
      /^The request takes \d+\.\d ms or longer, and 6\.0 ms are left of its budget of 20 ms$/,
    );
    await run(1);
    expect(engine.held).toHaveLength(2);
    expect(refusal(link, 'in time')).toBe('execute-result');
    await worker.close();
  });

  test('still tries, alone, what is a little late by the mean of its measurements', async () => {
    const { clock, engine, link, worker, run } = await readyWorker();
    link.execute({ requestId: 'running', variant: 'copy' }, rows(1, 2));
    link.execute({ requestId: 'tight', variant: 'copy', budgetMs: 23.9 }, rows(1, 2));
    link.execute({ requestId: 'patient', variant: 'copy' }, rows(3, 4));
    await clock.advance(14);
    await run(0);
    expect(engine.held[1]?.tensors[0]?.shape).toEqual([1, 2]);
    await run(1);
    expect(refusal(link, 'tight')).toBe('execute-result');
    await worker.close();
  });

  test('does not batch where that saves nothing', async () => {
    const { engine, link, worker, run } = await readyWorker({ rowMs: 10 });
    for (const requestId of ['a', 'b', 'c']) link.execute({ requestId, variant: 'copy' }, rows(1, 2));
    await run(0);
    expect(engine.held[1]?.tensors[0]?.shape).toEqual([1, 2]);
    await worker.close();
  });

  test('refuses what does not fit its queue', async () => {
    const { link, worker } = await readyWorker({ queueCapacity: 1 });
    for (const requestId of ['running', 'waiting', 'refused']) {
      link.execute({ requestId, variant: 'copy' }, rows(1, 2));
    }
    expect(refusal(link, 'refused')).toBe('MESH_QUEUE_FULL');
    expect(link.of('execute-refused')[0]?.load).toMatchObject({ waiting: 1, running: 1, lastSequence: 3 });
    await worker.close();
  });

  test('reports as backlog what runs and what waits, at its measured times', async () => {
    const { clock, link, worker } = await readyWorker({ queueCapacity: 2 });
    for (const requestId of ['running', 'a', 'b', 'refused']) {
      link.execute({ requestId, variant: 'copy' }, rows(1, 2));
    }
    expect(link.of('execute-refused')[0]?.load.backlogMs).toBeCloseTo(30, 5);
    await clock.advance(4);
    link.execute({ requestId: 'later', variant: 'copy' }, rows(1, 2));
    expect(link.of('execute-refused')[1]?.load.backlogMs).toBeCloseTo(26, 5);
    await worker.close();
  });

  test('refuses a waiting request the moment that it is too late, though the slot is busy', async () => {
    const { clock, link, worker } = await readyWorker();
    link.execute({ requestId: 'running', variant: 'copy' }, rows(1, 2));
    link.execute({ requestId: 'late', variant: 'copy', budgetMs: 20 }, rows(1, 2));
    await clock.advance(19);
    expect(refusal(link, 'late')).toBeUndefined();
    await clock.advance(1);
    expect(refusal(link, 'late')).toBe('MESH_DEADLINE_EXCEEDED');
    expect(link.of('execute-refused')[0]?.error.error).toBe(
      'The request could not start within its budget of 20 ms',
    );
    await worker.close();
  });

  test('never runs what was cancelled while it waited', async () => {
    const { engine, link, worker, run } = await readyWorker();
    link.execute({ requestId: 'running', variant: 'copy' }, rows(1, 2));
    link.execute({ requestId: 'cancelled', variant: 'copy' }, rows(1, 2));
    link.deliver({ type: 'execute-cancel', requestId: 'cancelled' });
    expect(refusal(link, 'cancelled')).toBe('MESH_CANCELLED');
    await run(0);
    expect(engine.held).toHaveLength(1);
    await worker.close();
  });

  test('refuses bad tensors and unknown variants by themselves', async () => {
    const { link, worker } = await readyWorker();
    link.execute({ requestId: 'shape', variant: 'copy' }, [float32Tensor('x', [1, 3], new Float32Array(3))]);
    link.execute({ requestId: 'unknown', variant: 'other' }, rows(1, 2));
    expect(refusal(link, 'shape')).toBe('MESH_BAD_TENSOR');
    expect(refusal(link, 'unknown')).toBe('MESH_VARIANT_NOT_READY');
    await worker.close();
  });

  test('tells every request of a failed batch, and goes on', async () => {
    const { engine, link, worker, run } = await readyWorker();
    link.execute({ requestId: 'failing', variant: 'copy' }, rows(1, 2));
    engine.held[0]?.fail(new Error('out of memory'));
    await settled();
    expect(refusal(link, 'failing')).toBe('MESH_EXECUTION_FAILED');
    link.execute({ requestId: 'next', variant: 'copy' }, rows(1, 2));
    await run(1);
    expect(refusal(link, 'next')).toBe('execute-result');
    await worker.close();
  });

  test('drains: finishes what it has, refuses what comes, then closes the link', async () => {
    const { engine, link, worker, run } = await readyWorker();
    link.execute({ requestId: 'running', variant: 'copy' }, rows(1, 2));
    link.execute({ requestId: 'waiting', variant: 'copy' }, rows(1, 2));
    const drained = worker.drain('test');
    link.execute({ requestId: 'new', variant: 'copy' }, rows(1, 2));
    expect(link.of('worker-drain')).toHaveLength(1);
    expect(refusal(link, 'new')).toBe('MESH_DRAINING');
    expect(link.end).toBeUndefined();
    await run(0);
    await run(1);
    await drained;
    expect(refusal(link, 'waiting')).toBe('execute-result');
    expect(link.end).toEqual({ code: 1_000, reason: 'drained' });
    expect(engine.isClosed).toBe(true);
  });

  test('reports live measurements under a new version of the same epoch', async () => {
    const { clock, link, worker, run } = await readyWorker();
    const first = link.of('profile-report')[0]?.reports[0];
    link.execute({ requestId: 'live', variant: 'copy' }, rows(1, 2));
    await run(0);
    for (let second = 0; second < 5; second++) await clock.advance(1_000);
    const last = link.of('profile-report').at(-1)?.reports[0];
    expect(last).toMatchObject({ epoch: first?.epoch, batch: 1, version: (first?.version ?? 0) + 1 });
    const count = (buckets: readonly (readonly number[])[] = []) =>
      buckets.reduce((sum, [, number = 0]) => sum + number, 0);
    expect(count(last?.computeMs.buckets)).toBe(count(first?.computeMs.buckets) + 1);
    await worker.close();
  });

  test('forgets the work of a lost link and serves the next one with the same replicas', async () => {
    const { engine, link, worker, run } = await readyWorker();
    link.execute({ requestId: 'running', variant: 'copy' }, rows(1, 2));
    link.execute({ requestId: 'waiting', variant: 'copy' }, rows(1, 2));
    link.close(1_006);
    const next = new RecordingLink();
    worker.connect(next);
    expect(next.of('worker-hello')).toMatchObject([{ sessionId: 'session' }]);
    next.welcome();
    expect(next.of('load-report')[0]?.replicas).toMatchObject([{ variant: 'copy', state: 'ready' }]);
    await run(0);
    expect(engine.held).toHaveLength(1);
    expect(next.of('execute-result')).toEqual([]);
    await worker.close();
  });

  test('waits for a batch to fill where it may, says for how long, and starts the moment that it is full', async () => {
    const { clock, engine, link, worker, run } = await readyWorker({ maxBatchWaitMs: 30 });
    link.execute({ requestId: 'first', variant: 'copy' }, rows(1, 2));
    await clock.advance(20);
    expect(engine.held).toEqual([]);
    link.execute({ requestId: 'second', variant: 'copy' }, rows(1, 2, 3, 4));
    link.execute({ requestId: 'third', variant: 'copy' }, rows(5, 6));
    expect(engine.held.map(({ tensors }) => tensors[0]?.shape)).toEqual([[4, 2]]);
    await clock.advance(10);
    await run(0);
    expect(link.of('execute-result')).toMatchObject([
      { requestId: 'first', batchWaitMs: 20, queueMs: 20 },
      { requestId: 'second', batchWaitMs: 0, queueMs: 0 },
      { requestId: 'third', batchWaitMs: 0, queueMs: 0 },
    ]);
    await worker.close();
    expect(clock.pending).toBe(0);
  });

  test('ends the wait when its time is up, and reports it as backlog until then', async () => {
    const { clock, engine, link, worker } = await readyWorker({ maxBatchWaitMs: 30 });
    link.execute({ requestId: 'alone', variant: 'copy' }, rows(1, 2));
    await clock.advance(10);
    link.execute({ requestId: 'unknown', variant: 'other' }, rows(1, 2));
    expect(link.of('execute-refused')[0]?.load).toMatchObject({ backlogMs: 20, waiting: 1, running: 0 });
    await clock.advance(19);
    expect(engine.held).toEqual([]);
    await clock.advance(1);
    expect(engine.held).toHaveLength(1);
    await worker.close();
  });

  test('waits for nobody once what waited is cancelled or its link is lost', async () => {
    const { clock, engine, link, worker } = await readyWorker({ maxBatchWaitMs: 30 });
    const idle = clock.pending;
    link.execute({ requestId: 'cancelled', variant: 'copy' }, rows(1, 2));
    link.deliver({ type: 'execute-cancel', requestId: 'cancelled' });
    // Its own deadline is still being waited for.
    expect(clock.pending).toBe(idle + 1);
    link.execute({ requestId: 'lost', variant: 'copy' }, rows(1, 2));
    link.close(1_006);
    await clock.advance(60);
    expect(engine.held).toEqual([]);
    await worker.close();
    expect(clock.pending).toBe(0);
  });

  test('leaves no timer behind when it is closed', async () => {
    const { clock, link, worker } = await readyWorker();
    link.execute({ requestId: 'running', variant: 'copy' }, rows(1, 2));
    link.execute({ requestId: 'waiting', variant: 'copy' }, rows(1, 2));
    await worker.close();
    await worker.close();
    expect(clock.pending).toBe(0);
  });
});
