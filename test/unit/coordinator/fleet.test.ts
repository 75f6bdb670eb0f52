import type { CoordinatorSideLink, LinkEnd } from '@nearfar/core';
import {
  CLOSE_CODES,
  type CoordinatorMessage,
  float32Tensor,
  LINK_PROTOCOL,
  MeshError,
  type Tensor,
  type WorkerMessage,
} from '@nearfar/protocol';
import { describe, expect, test } from 'vitest';
import { Fleet, HELLO_WITHIN_MS, type WorkerGrant } from '../../../coordinator/src/fleet.ts';
import type { Execution } from '../../../coordinator/src/fleet-worker.ts';
import { sampleVariant } from '../../support/coordinator/sample-task.ts';
import { ManualClock, settled } from '../../support/worker/manual-clock.ts';

const REPORT_EVERY_MS = 1_000;
const LOAD = { backlogMs: 0, waiting: 0, running: 0, lastSequence: 0 };

/** The coordinator's end of a link, driven by the test. */
class FakeLink implements CoordinatorSideLink {
  readonly sent: CoordinatorMessage[] = [];
  readonly bufferedBytes = 0;
  closed: number | undefined;
  #message: ((message: WorkerMessage, tensors: readonly Tensor[]) => void) | undefined;
  #close: ((end: LinkEnd) => void) | undefined;

  send: CoordinatorSideLink['send'] = (message) => void this.sent.push(message);
  onMessage: CoordinatorSideLink['onMessage'] = (handler) => {
    this.#message = handler;
  };
  onClose: CoordinatorSideLink['onClose'] = (handler) => {
    this.#close = handler;
  };
  close = (code = 1000, reason = '') => {
    if (this.closed !== undefined) return;
    this.closed = code;
    this.#close?.({ code, reason });
  };
  deliver = (message: WorkerMessage, tensors: readonly Tensor[] = []) => this.#message?.(message, tensors);

  hello(
    sessionId?: string,
    protocol: number = LINK_PROTOCOL,
    over: { workerId?: string; tier?: 'edge' | 'pool' } = {},
  ): void {
    this.deliver({
      type: 'worker-hello',
      protocol,
      workerId: 'w1',
      tier: 'pool',
      device: { kind: 'cpu', deviceClass: 'cpu:w1', description: '' },
      slots: 1,
      queueCapacity: 1,
      formats: ['onnx'],
      ...over,
      ...(sessionId !== undefined && { sessionId }),
    });
  }

  of<Type extends CoordinatorMessage['type']>(type: Type) {
    return this.sent.filter((message) => message.type === type);
  }
}

function setUp() {
  const clock = new ManualClock();
  let variants = [sampleVariant()];
  const fleet = new Fleet({
    clock,
    log: () => {},
    reportEveryMs: REPORT_EVERY_MS,
    embeddedIds: new Set(['embedded']),
    variants: () => variants,
    onProfiles: () => {},
    onChange: () => {},
  });
  const join = (sessionId?: string) => {
    const link = new FakeLink();
    fleet.accept(link, { tier: 'pool', isEmbedded: false });
    link.hello(sessionId);
    return link;
  };
  const setVariants = (next: typeof variants) => {
    variants = next;
    fleet.assignAll();
  };
  return { clock, fleet, join, setVariants };
}

/** Lets `count` reports fall due, one after another as time really passes. */
async function owe(clock: ManualClock, count: number): Promise<void> {
  for (let report = 0; report < count; report += 1) await clock.advance(REPORT_EVERY_MS);
}

function execution(overrides: Partial<Execution> = {}): Execution {
  return {
    requestId: 'r1',
    spec: sampleVariant(),
    tensors: [],
    rows: 1,
    serviceMs: 5,
    budgetMs: 50,
    timeoutMs: 60_000,
    priority: 0,
    signal: new AbortController().signal,
    ...overrides,
  };
}

describe('the fleet', () => {
  test('welcomes a worker and has it load every variant that it can run', () => {
    const { join } = setUp();
    const link = join();
    expect(link.sent.map((message) => message.type)).toEqual(['worker-welcome', 'variant-load']);
    expect(link.of('worker-welcome')).toMatchObject([{ credits: 2, reportEveryMs: REPORT_EVERY_MS }]);
  });

  test('replaces a variant whose revision grew, and sends nothing for one that stayed', () => {
    const { join, setVariants } = setUp();
    const link = join();
    setVariants([sampleVariant()]);
    expect(link.of('variant-load')).toHaveLength(1);
    setVariants([sampleVariant({ revision: 2 })]);
    expect(link.of('variant-unload')).toMatchObject([{ revision: 1 }]);
    expect(link.of('variant-load')).toHaveLength(2);
  });

  test('has a variant that failed loaded again when it is registered anew, and only then', () => {
    const { fleet, join, setVariants } = setUp();
    const link = join();
    const { task, variant, revision } = sampleVariant();
    const report = (state: 'ready' | 'failed') =>
      link.deliver({ type: 'load-report', load: LOAD, replicas: [{ task, variant, revision, state }] });
    report('failed');
    fleet.assignAll();
    expect(link.of('variant-load')).toHaveLength(1);
    setVariants([sampleVariant({ tolerance: 0.1 })]);
    expect(link.of('variant-load')).toMatchObject([{}, { spec: { revision, tolerance: 0.1 } }]);
    // It has not failed again yet.
    expect(fleet.find('w1')?.replicas()).toEqual([]);
    report('ready');
    setVariants([sampleVariant({ tolerance: 0.2 })]);
    expect(link.of('variant-load')).toHaveLength(2);
  });

  test('takes from a worker what was given up while it was away, and does not count on it', () => {
    const { fleet, join } = setUp();
    const link = join();
    const [kept, former] = [1, 2].map((revision) => {
      const { task, variant } = sampleVariant();
      return { task, variant, revision, state: 'ready' as const };
    });
    if (kept === undefined || former === undefined) throw new Error('Expected replicas');
    link.deliver({ type: 'load-report', load: LOAD, replicas: [kept, former] });
    expect(link.of('variant-unload')).toMatchObject([{ revision: 2 }]);
    expect(fleet.find('w1')?.replicas()).toEqual([kept]);
    link.deliver({ type: 'load-report', load: LOAD, replicas: [kept] });
    expect(link.of('variant-unload')).toHaveLength(1);
  });

  test('closes a link that speaks another protocol, says something else first, or says nothing', async () => {
    const { clock, fleet } = setUp();
    const [old, rude, mute] = [new FakeLink(), new FakeLink(), new FakeLink()];
    for (const link of [old, rude, mute]) fleet.accept(link, { tier: 'pool', isEmbedded: false });
    old.hello(undefined, 99);
    rude.deliver({ type: 'worker-drain', reason: '' });
    await clock.advance(HELLO_WITHIN_MS);
    expect([old.closed, rude.closed, mute.closed]).toEqual([
      CLOSE_CODES.protocolMismatch,
      CLOSE_CODES.badFrame,
      CLOSE_CODES.lost,
    ]);
    expect(fleet.list()).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  test('gives an id to a second worker only when the first is silent or the session resumes', async () => {
    const { clock, fleet, join } = setUp();
    const first = join();
    expect(join().closed).toBe(CLOSE_CODES.idTaken);
    const resumed = join(fleet.find('w1')?.sessionId);
    expect([first.closed, resumed.closed]).toEqual([CLOSE_CODES.superseded, undefined]);
    await owe(clock, 3);
    expect(fleet.find('w1')?.state).toBe('silent');
    const third = join();
    expect([resumed.closed, third.closed]).toEqual([CLOSE_CODES.superseded, undefined]);
    expect(fleet.list()).toHaveLength(1);
  });

  test('a process that stood still does not take its workers for silent', async () => {
    const { clock, fleet, join } = setUp();
    join();
    await clock.advance(60 * REPORT_EVERY_MS);
    expect(fleet.find('w1')?.state).toBe('active');
  });

  test('gives up the link of a worker that owes ten reports', async () => {
    const { clock, fleet, join } = setUp();
    const link = join();
    await owe(clock, 9);
    expect(link.closed).toBeUndefined();
    await owe(clock, 1);
    expect(link.closed).toBe(CLOSE_CODES.lost);
    expect(fleet.list()).toEqual([]);
  });

  test('a worker that dials in gets no tier but its token’s, and no id of an embedded worker', () => {
    const { fleet } = setUp();
    const claims = (grant: WorkerGrant, over: { workerId?: string; tier?: 'edge' | 'pool' }) => {
      const link = new FakeLink();
      fleet.accept(link, grant);
      link.hello(undefined, LINK_PROTOCOL, over);
      return link.closed;
    };
    const pool = { tier: 'pool', isEmbedded: false } as const;
    expect(claims(pool, { tier: 'edge' })).toBe(CLOSE_CODES.unauthenticated);
    expect(claims(pool, { workerId: 'embedded' })).toBe(CLOSE_CODES.idTaken);
    const edge = { tier: 'edge', isEmbedded: false } as const;
    expect(claims(edge, { workerId: 'far-edge', tier: 'edge' })).toBeUndefined();
    expect(
      claims({ tier: 'edge', isEmbedded: true }, { workerId: 'embedded', tier: 'edge' }),
    ).toBeUndefined();
  });

  test('a request that cannot be sent fails at once and leaves nothing behind', async () => {
    const { clock, fleet, join } = setUp();
    const link = join();
    const send = link.send;
    link.send = () => {
      throw new MeshError('MESH_BAD_FRAME', 'too large');
    };
    await expect(fleet.find('w1')?.execute(execution())).rejects.toMatchObject({ code: 'MESH_BAD_FRAME' });
    link.send = send;
    expect(fleet.find('w1')?.inFlight).toBe(0);
    await clock.advance(120_000);
  });

  test('an answer that is not what was asked for is a failed execution', async () => {
    const { fleet, join } = setUp();
    const link = join();
    const answer = (shape: number[], name = 'logits') => {
      const values = new Float32Array(shape.reduce((product, side) => product * side, 1));
      const timing = { queueMs: 0, batchWaitMs: 0, computeMs: 1, batchSize: 1, batchOffset: 0, load: LOAD };
      const executed = fleet.find('w1')?.execute(execution());
      link.deliver({ type: 'execute-result', requestId: 'r1', ...timing }, [
        float32Tensor(name, shape, values),
      ]);
      return executed;
    };
    await expect(answer([1, 3])).resolves.toBeDefined();
    await expect(answer([2, 3])).rejects.toMatchObject({ code: 'MESH_EXECUTION_FAILED' });
    await expect(answer([1, 4])).rejects.toMatchObject({ code: 'MESH_EXECUTION_FAILED' });
    await expect(answer([1, 3], 'bogus')).rejects.toMatchObject({ code: 'MESH_EXECUTION_FAILED' });
  });

  test('gives up what a silent or lost worker holds', async () => {
    const { clock, fleet, join } = setUp();
    const link = join();
    const silent = fleet.find('w1')?.execute(execution());
    const rejected = expect(silent).rejects.toMatchObject({ code: 'MESH_WORKER_LOST' });
    await owe(clock, 3);
    await rejected;
    link.deliver({ type: 'load-report', load: LOAD, replicas: [] });
    expect(fleet.find('w1')?.state).toBe('active');
    const lost = fleet.find('w1')?.execute(execution());
    link.close();
    await expect(lost).rejects.toMatchObject({ code: 'MESH_WORKER_LOST' });
    expect(fleet.list()).toEqual([]);
  });

  test('says what came of a cancelled request: its result, or nothing', async () => {
    const { fleet, join } = setUp();
    const link = join();
    const worker = fleet.find('w1');
    const fates: unknown[] = [];
    const cancelled = async (requestId: string) => {
      const abort = new AbortController();
      const onLate: NonNullable<Execution['onLate']> = (result) => fates.push([requestId, result?.computeMs]);
      const executed = worker?.execute(execution({ requestId, signal: abort.signal, onLate }));
      const rejected = expect(executed).rejects.toMatchObject({ code: 'MESH_CANCELLED' });
      abort.abort();
      await rejected;
    };
    const timing = { queueMs: 0, batchWaitMs: 0, computeMs: 7, batchSize: 1, batchOffset: 0, load: LOAD };
    await cancelled('running');
    link.deliver({ type: 'execute-result', requestId: 'running', ...timing });
    await cancelled('waiting');
    const error = { error: 'cancelled while it waited', code: 'MESH_CANCELLED', retryable: false } as const;
    link.deliver({ type: 'execute-refused', requestId: 'waiting', error, load: LOAD });
    await cancelled('lost');
    link.close();
    link.deliver({ type: 'execute-result', requestId: 'lost', ...timing });
    expect(fates).toEqual([
      ['running', 7],
      ['waiting', undefined],
      ['lost', undefined],
    ]);
  });

  test('stops at the time limit, at an abort and at the last credit, and leaves no timer', async () => {
    const { clock, fleet, join } = setUp();
    const link = join();
    const worker = fleet.find('w1');
    const abort = new AbortController();
    const late = worker?.execute(execution({ requestId: 'late', timeoutMs: 10 }));
    const gone = worker?.execute(execution({ requestId: 'gone', signal: abort.signal }));
    await expect(worker?.execute(execution({ requestId: 'more' }))).rejects.toMatchObject({
      code: 'MESH_QUEUE_FULL',
    });
    const outcomes = Promise.allSettled([late, gone]);
    abort.abort();
    await clock.advance(10);
    expect((await outcomes).map((outcome) => outcome.status === 'rejected' && outcome.reason.code)).toEqual([
      'MESH_DEADLINE_EXCEEDED',
      'MESH_CANCELLED',
    ]);
    expect(link.of('execute-cancel').map((message) => 'requestId' in message && message.requestId)).toEqual([
      'gone',
      'late',
    ]);
    expect(worker?.inFlight).toBe(0);
    fleet.close();
    await settled();
    expect(clock.pending).toBe(0);
  });
});
