import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createToken } from '@nearfar/coordinator';
import type { AccountRecord, Clock } from '@nearfar/core';
import { afterEach, describe, expect, test } from 'vitest';
import type { FakeWorker } from '../../support/coordinator/fake-worker.ts';
import { cascadeTask, SAMPLE_CASCADE, sampleTask } from '../../support/coordinator/sample-task.ts';
import { SAMPLE_INPUT, TestMesh } from '../../support/coordinator/test-mesh.ts';
import { ManualClock } from '../../support/worker/manual-clock.ts';

/** Far longer than both workers are predicted to take, and far shorter than the deadline of `TestMesh.infer`. */
const OVERRUN_MS = 50;

let mesh: TestMesh;
let clock: ManualClock;
/** Predicted to take 1 ms, so always chosen first; keeps what it gets until the test answers. */
let cheap: FakeWorker;
/** Predicted to take 3 ms; answers at once. */
let dear: FakeWorker;
/** Requests that `cheap` has not answered. */
let held: { request: Readonly<Record<string, unknown>>; answer: () => void }[];

async function start(maxHedgeShare?: number, withOther = true, task = sampleTask()): Promise<void> {
  clock = new ManualClock();
  // Tokens know the time of day.
  const meshClock: Clock = {
    now: () => clock.now(),
    wallTime: () => Date.now(),
    sleep: (delayMs, signal) => clock.sleep(delayMs, signal),
  };
  const share = maxHedgeShare === undefined ? {} : { maxHedgeShare };
  mesh = await TestMesh.start({ clock: meshClock, reportEveryMs: 60_000, ...share });
  await mesh.coordinator.register(task);
  cheap = await mesh.serving('cheap', 1);
  held = [];
  cheap.onExecute = (request, tensors) =>
    held.push({ request, answer: () => cheap.answer(request, tensors) });
  if (withOther) dear = await mesh.serving('dear', 3);
}

afterEach(() => mesh.close());

/** Sends requests, waits until `cheap` has them all, and lets them overrun. */
async function overrun(count = 1, parameters: Record<string, unknown> = {}) {
  const answers = Array.from({ length: count }, () => mesh.infer(parameters));
  await expect.poll(() => held.length).toBe(count);
  await clock.advance(OVERRUN_MS);
  return answers;
}

const sentTo = (worker: FakeWorker, type: string) =>
  worker.received.filter((message) => message.type === type);

async function metric(name: string): Promise<number | undefined> {
  const page = await (await mesh.call('/metrics')).text();
  const line = page.split('\n').find((entry) => entry.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.split(' ').at(-1));
}

const hedges = (outcome: string) => metric(`nearfar_hedges_total{outcome="${outcome}"}`);

async function accounts(): Promise<AccountRecord[]> {
  await mesh.coordinator.close();
  const text = await readFile(join(mesh.directory, 'accounts.jsonl'), 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AccountRecord);
}

const only = <Item>(items: readonly Item[]): Item => {
  expect(items).toHaveLength(1);
  return items[0] as Item;
};

describe('a request that overruns what was predicted of it', () => {
  test('is answered once, by the other worker, and cancelled in the first', async () => {
    await start(1);
    const timers = clock.pending;
    const cancelled = cheap.next('execute-cancel');
    const answer = await only(await overrun());
    expect(answer).toMatchObject({ status: 200, parameters: { worker: 'dear' } });
    expect((await cancelled).requestId).toBe(only(held).request.requestId);
    const [, decision] = await mesh.json(`/v1/decisions/${answer.parameters?.decision_id}`);
    expect(decision).toMatchObject({
      choice: { worker: 'dear' },
      outcome: { status: 'ok' },
      attempts: [
        { worker: 'cheap', code: 'MESH_CANCELLED' },
        { worker: 'dear', isHedge: true },
      ],
    });
    // What it had begun it finishes; nobody waits for that, but it is known to have been in vain.
    only(held).answer();
    await expect.poll(() => metric('nearfar_wasted_busy_seconds_total')).toBe(0.002);
    expect(await hedges('won')).toBe(1);
    expect(clock.pending).toBe(timers);
    expect(mesh.coordinator.fleet.list().map(({ inFlight }) => inFlight)).toEqual([0, 0]);
    expect(only(await accounts())).toMatchObject({ worker: 'dear', status: 'ok', busyMs: 2, wastedMs: 2 });
  });

  test('whose first worker answers first after all is cancelled in the other, and costs nothing if it never ran there', async () => {
    await start(1);
    const toDear = dear.next('execute-request');
    dear.onExecute = () => {};
    const request = await overrun();
    const second = await toDear;
    const cancelled = dear.next('execute-cancel');
    only(held).answer();
    expect(await only(request)).toMatchObject({ status: 200, parameters: { worker: 'cheap' } });
    await cancelled;
    dear.refuse(second, 'MESH_CANCELLED');
    await expect.poll(() => hedges('cancelled')).toBe(1);
    expect(await hedges('won')).toBeUndefined();
    const record = only(await accounts());
    expect(record).toMatchObject({ worker: 'cheap', busyMs: 2 });
    expect(record).not.toHaveProperty('wastedMs');
  });

  test('whose second execution fails still waits for the first', async () => {
    await start(1);
    dear.onExecute = (request) => dear.refuse(request, 'MESH_EXECUTION_FAILED');
    const request = await overrun();
    await expect.poll(() => hedges('lost')).toBe(1);
    only(held).answer();
    expect(await only(request)).toMatchObject({ status: 200, parameters: { worker: 'cheap' } });
  });

  test('whose first worker is lost meanwhile is answered by the other', async () => {
    await start(1);
    const toDear = dear.next('execute-request');
    let answer = () => {};
    dear.onExecute = (request, tensors) => {
      answer = () => dear.answer(request, tensors);
    };
    const request = await overrun();
    await toDear;
    await cheap.close();
    await expect.poll(() => mesh.coordinator.fleet.list().length).toBe(1);
    answer();
    expect(await only(request)).toMatchObject({ status: 200, parameters: { worker: 'dear' } });
    expect(sentTo(dear, 'execute-request')).toHaveLength(1);
  });

  test('whose caller goes away is cancelled in both', async () => {
    await start(1);
    const toDear = dear.next('execute-request');
    dear.onExecute = () => {};
    const abort = new AbortController();
    const token = await createToken(mesh.secret, { role: 'client', subject: 'test' });
    const body = JSON.stringify({ inputs: [SAMPLE_INPUT], parameters: { slo_ms: 5_000 } });
    const headers = { Authorization: `Bearer ${token}` };
    const url = `${mesh.url}/v2/models/sample/infer`;
    const gone = expect(
      fetch(url, { method: 'POST', body, headers, signal: abort.signal }),
    ).rejects.toThrow();
    await expect.poll(() => held.length).toBe(1);
    await clock.advance(OVERRUN_MS);
    await toDear;
    const cancelled = [cheap.next('execute-cancel'), dear.next('execute-cancel')];
    abort.abort();
    await Promise.all([gone, ...cancelled]);
    await expect.poll(() => hedges('cancelled')).toBe(1);
    expect(mesh.coordinator.fleet.list().map(({ inFlight }) => inFlight)).toEqual([0, 0]);
  });
});

test('what a worker gives of an execution that was cancelled is never taken for what it does next for the request', async () => {
  await start(1, true, cascadeTask());
  const [unsure, large] = [
    [0, 0, 0.1],
    [9, 0, 0],
  ] as const;
  dear.onExecute = (request, tensors) => dear.answer(request, tensors, unsure);
  const path = `/v2/models/sample/versions/${SAMPLE_CASCADE}/infer`;
  const answer = mesh.infer({}, path);
  await expect.poll(() => held.length).toBe(1);
  await clock.advance(OVERRUN_MS);
  // The small stage was answered by the other worker; the large one goes to this one, which is idle as far as anybody knows.
  await expect
    .poll(() => held.map(({ request }) => request.variant))
    .toEqual(['tiny-fp32-onnx', 'large-fp32-onnx']);
  held[0]?.answer();
  await expect.poll(() => metric('nearfar_wasted_busy_seconds_total')).toBe(0.002);
  cheap.answerRows(held[1]?.request ?? {}, [large]);
  expect((await answer).outputs?.[0]?.data).toEqual(large);
});

describe('hedging is kept', () => {
  test('to its budget, in a storm in which everything overruns', async () => {
    await start(0.5);
    const answers = await overrun(8);
    await expect.poll(() => sentTo(cheap, 'execute-cancel').length).toBe(4);
    await clock.advance(OVERRUN_MS);
    for (const { answer } of held) answer();
    const workers = (await Promise.all(answers)).map(({ status, parameters }) => {
      expect(status).toBe(200);
      return parameters?.worker;
    });
    expect(workers.filter((worker) => worker === 'dear')).toHaveLength(4);
    expect(sentTo(dear, 'execute-request')).toHaveLength(4);
    await expect.poll(() => metric('nearfar_wasted_busy_seconds_total')).toBeCloseTo(0.008, 9);
    const records = await accounts();
    expect(records).toHaveLength(8);
    expect(records.filter(({ wastedMs }) => wastedMs === 2)).toHaveLength(4);
  });

  test('off, where it is switched off', async () => {
    await start(0);
    const request = await overrun();
    only(held).answer();
    expect(await only(request)).toMatchObject({ status: 200, parameters: { worker: 'cheap' } });
    expect(sentTo(dear, 'execute-request')).toEqual([]);
  });

  test('within the caller’s cap of the cost', async () => {
    await start(1);
    const refused = await mesh.infer({ max_cost_usd: 0 });
    const nearest = refused.details?.nearest as Partial<Record<string, number>> | undefined;
    const request = await overrun(1, { max_cost_usd: 1.5 * (nearest?.max_cost_usd ?? 0) });
    only(held).answer();
    expect(await only(request)).toMatchObject({ status: 200, parameters: { worker: 'cheap' } });
    expect(sentTo(dear, 'execute-request')).toEqual([]);
  });

  test('to requests that the other worker can still answer in time', async () => {
    await start(1);
    const request = await overrun(1, { slo_ms: OVERRUN_MS + 1 });
    only(held).answer();
    expect(await only(request)).toMatchObject({ status: 200, parameters: { worker: 'cheap' } });
    expect(sentTo(dear, 'execute-request')).toEqual([]);
  });

  test('to where there is another worker', async () => {
    await start(1, false);
    const request = await overrun();
    only(held).answer();
    expect(await only(request)).toMatchObject({ status: 200, parameters: { worker: 'cheap' } });
    expect(sentTo(cheap, 'execute-request')).toHaveLength(1);
  });
});
