import {
  type LeaseReport,
  LIMITS,
  type Outcome,
  type OutcomesRequest,
  type PriceTable,
  type ProfileReport,
} from '@nearfar/protocol';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { OutcomeReporter } from '../../../client-sdk/src/outcomes.ts';

function outcome(decisionId: string, over: Partial<Outcome> = {}): Outcome {
  return {
    task: 'digits',
    variant: 'tiny-fp32-onnx',
    revision: 1,
    tier: 'browser',
    decisionId,
    privacy: 'any',
    status: 'ok',
    predictedMs: 5,
    totalMs: 6,
    candidates: [],
    ...over,
  };
}

const profile: ProfileReport = {
  task: 'digits',
  variant: 'tiny-fp32-onnx',
  revision: 1,
  deviceClass: 'wasm:x64-4',
  batch: 1,
  epoch: 'life-1',
  version: 1,
  computeMs: { buckets: [[0, 1]], sum: 1, sumOfSquares: 1 },
};

interface Sent extends OutcomesRequest {
  readonly isLast: boolean;
}

/** A reporter with its mesh. */
class Recorder {
  readonly sent: Sent[] = [];
  profiles: ProfileReport[] = [];
  failure: Error | undefined;
  leases: LeaseReport[] = [];
  news: { readonly epoch?: number; readonly prices?: PriceTable } = {};
  readonly prices: PriceTable[] = [];
  readonly reporter = new OutcomeReporter(
    {
      outcomes: async (report, isLast) => {
        this.sent.push({ ...report, isLast });
        if (this.failure !== undefined) throw this.failure;
        return isLast ? undefined : { outcomes: 0, profiles: 0, ...this.news };
      },
    },
    () => {
      const profiles = [...this.profiles];
      return { profiles, confirm: () => void this.profiles.splice(0, profiles.length) };
    },
    {
      priceEpoch: 3,
      reports: () => this.leases,
      setPrices: (prices) => void this.prices.push(prices),
    },
  );

  /** Ids of what was sent, one list a request. */
  get ids(): string[][] {
    return this.sent.map(({ outcomes }) => outcomes.map(({ decisionId }) => decisionId));
  }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});

afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

describe('outcome reporter', () => {
  test('what happens within a second goes in one request', async () => {
    const mesh = new Recorder();
    mesh.reporter.add(outcome('a'));
    await vi.advanceTimersByTimeAsync(900);
    mesh.reporter.add(outcome('b'));
    expect(mesh.sent).toEqual([]);
    await vi.advanceTimersByTimeAsync(100);
    expect(mesh.ids).toEqual([['a', 'b']]);
    mesh.reporter.add(outcome('c'));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(mesh.ids).toEqual([['a', 'b'], ['c']]);
  });

  test('sends nothing when there is nothing', async () => {
    const mesh = new Recorder();
    mesh.reporter.schedule();
    await vi.advanceTimersByTimeAsync(1_000);
    await mesh.reporter.flush(true);
    expect(mesh.sent).toEqual([]);
  });

  test('profiles go also without an outcome', async () => {
    const mesh = new Recorder();
    mesh.profiles = [profile];
    mesh.reporter.schedule();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(mesh.sent).toEqual([{ outcomes: [], profiles: [profile], priceEpoch: 3, isLast: false }]);
  });

  test('a flush sends at once, once, and says whether it is the last', async () => {
    const mesh = new Recorder();
    mesh.reporter.add(outcome('a'));
    await mesh.reporter.flush(true);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(mesh.ids).toEqual([['a']]);
    expect(mesh.sent[0]?.isLast).toBe(true);
  });

  test('splits by bytes, keeps the order, and the profiles go with the first part only', async () => {
    const mesh = new Recorder();
    mesh.profiles = [profile];
    const ids = Array.from({ length: 100 }, (_, index) => `id-${index}`);
    for (const id of ids) mesh.reporter.add(outcome(id, { leaseId: 'x'.repeat(2_000) }));
    await mesh.reporter.flush();
    expect(mesh.sent.length).toBeGreaterThan(1);
    expect(mesh.ids.flat()).toEqual(ids);
    expect(mesh.sent.map(({ profiles }) => profiles?.length)).toEqual([
      1,
      ...Array.from({ length: mesh.sent.length - 1 }, () => 0),
    ]);
    // What a browser lets a page that goes send in one request (Fetch standard, keepalive).
    for (const { outcomes } of mesh.sent) expect(JSON.stringify(outcomes).length).toBeLessThan(64 * 1024);
  });

  test('an outcome that is larger than a part goes alone', async () => {
    const mesh = new Recorder();
    const large = { leaseId: 'x'.repeat(60_000) };
    mesh.reporter.add(outcome('a'));
    mesh.reporter.add(outcome('large', large));
    mesh.reporter.add(outcome('b'));
    await mesh.reporter.flush();
    expect(mesh.ids).toEqual([['a'], ['large'], ['b']]);
  });

  test('forgets the oldest beyond the limit', async () => {
    const mesh = new Recorder();
    for (let index = 0; index < LIMITS.maxOutcomes + 3; index += 1) mesh.reporter.add(outcome(`id-${index}`));
    await mesh.reporter.flush();
    const ids = mesh.ids.flat();
    expect(ids).toHaveLength(LIMITS.maxOutcomes);
    expect(ids[0]).toBe('id-3');
    expect(ids.at(-1)).toBe(`id-${LIMITS.maxOutcomes + 2}`);
  });

  test('never rejects, and an outcome that was lost is not sent again', async () => {
    const mesh = new Recorder();
    mesh.failure = new Error('offline');
    mesh.reporter.add(outcome('lost'));
    await expect(mesh.reporter.flush()).resolves.toBeUndefined();
    mesh.failure = undefined;
    mesh.reporter.add(outcome('next'));
    await mesh.reporter.flush();
    expect(mesh.ids).toEqual([['lost'], ['next']]);
  });

  test('profiles of a report that failed go again with the next one, until they have arrived', async () => {
    const mesh = new Recorder();
    mesh.profiles = [profile];
    mesh.failure = new Error('offline');
    await mesh.reporter.flush();
    mesh.failure = undefined;
    await mesh.reporter.flush();
    await mesh.reporter.flush();
    expect(mesh.sent.map(({ profiles }) => profiles)).toEqual([[profile], [profile]]);
  });

  test('profiles count into the size of what a page that goes may send', async () => {
    const mesh = new Recorder();
    const buckets = Array.from({ length: 3_000 }, (_, index): [number, number] => [index, 1]);
    mesh.profiles = [1, 2].map((revision) => ({
      ...profile,
      revision,
      computeMs: { ...profile.computeMs, buckets },
    }));
    mesh.reporter.add(outcome('a', { leaseId: 'x'.repeat(2_000) }));
    await mesh.reporter.flush(true);
    const [last, ...more] = mesh.sent;
    expect(more).toEqual([]);
    expect(JSON.stringify(last).length).toBeLessThan(64 * 1024);
    // What found no room has not arrived.
    expect(mesh.profiles).toHaveLength(2);
  });

  test('closing sends what there is, and nothing is sent afterwards', async () => {
    const mesh = new Recorder();
    mesh.reporter.add(outcome('last'));
    await mesh.reporter.close();
    await mesh.reporter.close();
    mesh.reporter.add(outcome('too late'));
    mesh.reporter.schedule();
    await mesh.reporter.flush(true);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(mesh.ids).toEqual([['last']]);
  });

  test('tells by which prices the page decides, and takes those of the answer', async () => {
    const mesh = new Recorder();
    const prices: PriceTable = {
      epoch: 4,
      prices: [{ tier: 'edge', deviceClass: 'cpu:x64-2', picoUsdPerMs: 7 }],
    };
    mesh.news = { epoch: 4, prices };
    mesh.reporter.add(outcome('a'));
    await mesh.reporter.flush();
    expect(mesh.sent[0]).toMatchObject({ priceEpoch: 3 });
    expect(mesh.prices).toEqual([prices]);
    mesh.news = { epoch: 4 };
    mesh.reporter.add(outcome('b'));
    await mesh.reporter.flush();
    expect(mesh.prices).toEqual([prices]);
  });

  test('a page that goes says what it did under its leases, also where it has nothing else to say', async () => {
    const used = { id: 'lease-1', remoteRequests: 2 };
    const left = new Recorder();
    left.leases = [used];
    await left.reporter.flush();
    expect(left.sent).toEqual([]);
    await left.reporter.flush(true);
    expect(left.sent).toMatchObject([{ outcomes: [], leases: [used], isLast: true }]);
    const closed = new Recorder();
    closed.leases = [used];
    await closed.reporter.close();
    expect(closed.sent).toMatchObject([{ leases: [used], isLast: false }]);
    const idle = new Recorder();
    idle.leases = [{ id: 'lease-1', remoteRequests: 0 }];
    await idle.reporter.close();
    expect(idle.sent).toEqual([]);
  });
});
