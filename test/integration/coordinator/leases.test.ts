import type { Lease, LeaseReport, Outcome, PlacementResponse } from '@nearfar/protocol';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FakeWorker } from '../../support/coordinator/fake-worker.ts';
import {
  cascadeTask,
  changedTask,
  SAMPLE_CASCADE,
  sampleVariant,
} from '../../support/coordinator/sample-task.ts';
import { SAMPLE_INPUT, TestMesh } from '../../support/coordinator/test-mesh.ts';

let mesh: TestMesh;
let worker: FakeWorker;

beforeEach(async () => {
  mesh = await TestMesh.start();
  await mesh.coordinator.register(cascadeTask());
  worker = await mesh.dial('w');
  await expect.poll(() => worker.held.size).toBe(2);
  worker.profile(({ variant }) => (variant.startsWith('large') ? 200 : 2));
  worker.report();
  await expect.poll(() => mesh.coordinator.fleet.find('w')?.replicas().length).toBe(2);
});
afterEach(() => mesh.close());

async function askFor(former?: LeaseReport, role: 'client' | 'admin' = 'client') {
  const body = JSON.stringify({ task: 'sample', payloadBytes: 100, ...(former && { lease: former }) });
  const [status, answer] = await mesh.json('/v1/placements', { method: 'POST', body }, role);
  expect(status).toBe(200);
  return answer as PlacementResponse;
}

async function take(former?: LeaseReport): Promise<Lease> {
  return (await askFor(former)).lease;
}

async function report(body: unknown) {
  return await mesh.json('/v1/outcomes', { method: 'POST', body: JSON.stringify(body) }, 'client');
}

/** What `/metrics` says of the requests that leases allowed. */
async function counts(): Promise<Record<string, number>> {
  const text = await (await mesh.call('/metrics')).text();
  const lines = text.matchAll(
    /nearfar_(?:(open)_lease_requests|lease_requests_total\{state="(\w+)"\}) (\d+)/g,
  );
  return Object.fromEntries([...lines].map(([, open, state = open, count]) => [state, Number(count)]));
}

/** Requests of the task that `/metrics` counts. */
async function requests(): Promise<number> {
  const text = await (await mesh.call('/metrics')).text();
  const lines = text.matchAll(/nearfar_requests_total\{task="sample",[^}]*\} (\d+)/g);
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
}

function ranInPage(over: Partial<Outcome> = {}): Partial<Outcome> {
  return {
    task: 'sample',
    variant: 'tiny-fp32-onnx',
    revision: 1,
    tier: 'browser',
    deviceClass: 'wasm:x64-4',
    decisionId: 'page-1',
    status: 'ok',
    sloMs: 100,
    predictedMs: 5,
    totalMs: 6,
    ...over,
  };
}

describe('leases', () => {
  test('carry the revision, the escalation rates and a number of requests, each under an id of its own', async () => {
    const [one, other] = [await take(), await take()];
    expect(one).toMatchObject({
      revision: 1,
      escalations: [{ variant: SAMPLE_CASCADE, revision: 1, rate: 0.4 }],
    });
    expect(one.ttlMs).toBeLessThanOrEqual(30_000);
    expect(one.maxRequests).toBeGreaterThan(0);
    expect(one.id).not.toBe(other.id);
  });

  test('allow together no more than the workers can take on, and leave something to whoever asks next', async () => {
    // 30 s of one slot at up to 200 ms a request.
    const grants: number[] = [];
    for (let page = 0; page < 60; page += 1) grants.push((await take()).maxRequests ?? Number.NaN);
    const sum = grants.reduce((total, grant) => total + grant, 0);
    expect(sum).toBeLessThanOrEqual(150);
    expect(grants.at(0)).toBe(16);
    expect(grants.at(-1)).toBe(0);
    expect(await counts()).toMatchObject({ granted: sum, open: sum, reported: 0, unknown: 0 });
  });

  test('are counted as reported or returned when they are renewed, by their own page alone', async () => {
    const first = await take();
    const granted = first.maxRequests ?? 0;
    await askFor({ id: first.id, remoteRequests: 3 }, 'admin');
    expect(await counts()).toMatchObject({ reported: 0, returned: 0 });
    await take({ id: first.id, remoteRequests: 3 });
    expect(await counts()).toMatchObject({ reported: 3, returned: granted - 3 });
    await take({ id: first.id, remoteRequests: 3 });
    await take({ id: 'garbage', remoteRequests: 3 });
    expect(await counts()).toMatchObject({ reported: 3, returned: granted - 3, unknown: 0 });
  });

  test('are counted when a page goes, and its own runs beside them', async () => {
    const { id, maxRequests = 0 } = await take();
    expect(
      await report({ outcomes: [ranInPage({ leaseId: id })], leases: [{ id, remoteRequests: 1 }] }),
    ).toEqual([200, expect.objectContaining({ outcomes: 1, profiles: 0 })]);
    expect(await counts()).toMatchObject({ reported: 1, returned: maxRequests - 1, open: 0, local: 1 });
  });

  test('tell of corrected latencies, and let a correction fade that pages say kept them away, within what they allow', async () => {
    worker.onExecute = (request, tensors) => void setTimeout(() => worker.answer(request, tensors), 30);
    await Promise.all(
      Array.from({ length: 40 }, () => mesh.infer({}, '/v2/models/sample/versions/tiny-fp32-onnx/infer')),
    );
    const tiny = ({ remote }: Lease) => {
      const option = remote.find(({ variant }) => variant === 'tiny-fp32-onnx');
      if (option?.uncorrected === undefined) throw new Error('Expected a calibrated option');
      const { variant, revision, tier, deviceClass, compute, uncorrected } = option;
      const place = { variant, revision, tier, deviceClass, worker: option.worker };
      return { place, factor: compute.meanMs / uncorrected.compute.meanMs };
    };
    const first = await take();
    const { place, factor } = tiny(first);
    expect(factor).toBeGreaterThan(3);
    const passedOver = [{ ...place, requests: 1_000 }];
    const renew = async ({ id }: Lease, role: 'client' | 'admin' = 'client') =>
      (await askFor({ id, remoteRequests: 0, passedOver }, role)).lease;
    // Somebody else's lease is no reason to believe it, and one lease no reason to forget all that was learnt.
    expect(tiny(await renew(first, 'admin')).factor).toBe(factor);
    let lease = await renew(first);
    expect(tiny(lease).factor).toBeGreaterThan(0.9 * factor);
    for (let renewal = 0; renewal < 60; renewal += 1) lease = await renew(lease);
    expect(tiny(lease).factor).toBeLessThan(0.5 * factor);
  });

  test('of one subject leave something to the others, however many it takes', async () => {
    for (let page = 0; page < 60; page += 1) await take();
    expect((await take()).maxRequests).toBe(0);
    expect((await askFor(undefined, 'admin')).lease.maxRequests).toBeGreaterThan(10);
  });

  test('bring prices, and a report brings others where the page has those of another epoch', async () => {
    const { shadowPrices } = await take();
    expect(shadowPrices).toEqual({ epoch: 0, prices: [] });
    const answer = async (priceEpoch?: number) =>
      (await report({ outcomes: [], ...(priceEpoch !== undefined && { priceEpoch }) }))[1];
    expect(await answer(7)).toEqual({ outcomes: 0, profiles: 0, prices: shadowPrices });
    for (const known of [0, undefined]) {
      expect(await answer(known)).toEqual({ outcomes: 0, profiles: 0 });
    }
  });

  test('tell of a new revision', async () => {
    await mesh.coordinator.register(
      changedTask({ variants: [...changedTask().variants, ...cascadeTask().variants.slice(1)] }),
    );
    await expect.poll(() => worker.held.has('sample/tiny-fp32-onnx/2')).toBe(true);
    worker.profile(() => 2);
    worker.report();
    await expect.poll(async () => (await take()).revision).toBe(2);
  });

  test('tell of three places of a class at most, however many workers there are', async () => {
    for (const id of ['x', 'y', 'z']) await mesh.serving(id, 2, { deviceClass: 'cpu:same' });
    const { remote } = await take();
    const same = remote.filter(
      ({ deviceClass, variant }) => deviceClass === 'cpu:same' && variant === 'tiny-fp32-onnx',
    );
    expect(same.length).toBeGreaterThan(0);
    expect(same.length).toBeLessThanOrEqual(3);
  });

  test('tell of a stage of a cascade that another variant dominates, as that alone', async () => {
    const better = sampleVariant({
      variant: 'tiny-int8-onnx',
      precision: 'int8',
      artifacts: [{ path: 'better.onnx', sha256: 'c'.repeat(64), sizeBytes: 1_000 }],
    });
    // Smaller and faster than the small stage, and as accurate: nobody needs that by itself.
    await mesh.coordinator.register({
      ...cascadeTask(),
      variants: [...cascadeTask().variants, better],
      source: 'more',
    });
    await expect.poll(() => worker.held.size).toBe(3);
    worker.profile(({ variant }) => ({ 'large-fp32-onnx': 200, 'tiny-int8-onnx': 1 })[variant] ?? 2);
    worker.report();
    await expect
      .poll(async () =>
        (await take()).remote.map(({ variant, isOnlyStage = false }) => [variant, isOnlyStage]),
      )
      .toContainEqual(['tiny-fp32-onnx', true]);
    const { remote } = await take();
    expect(remote.filter(({ isOnlyStage }) => isOnlyStage !== true).map(({ variant }) => variant)).toEqual(
      expect.arrayContaining(['tiny-int8-onnx', 'large-fp32-onnx']),
    );
  });
});

describe('a decision that a page begins and the mesh goes on with', () => {
  const small = (over: Partial<Outcome> = {}) =>
    ranInPage({
      decisionId: 'shared',
      cascade: { variant: SAMPLE_CASCADE, revision: 1, isEscalated: true },
      ...over,
    });
  const goOn = (decision_id: unknown) =>
    mesh.infer({ decision_id }, '/v2/models/sample/versions/large-fp32-onnx/infer', [SAMPLE_INPUT]);
  const explained = async () => (await mesh.json('/v1/decisions/shared'))[1];
  const bothStages = {
    source: 'request',
    attempts: [
      { variant: 'tiny-fp32-onnx', worker: 'page' },
      { variant: 'large-fp32-onnx', worker: 'w' },
    ],
    outcome: { status: 'ok', batchSize: 1 },
  };

  test('has one id, whether the page reports its part before or after', async () => {
    const { parameters } = await goOn('shared');
    expect(parameters?.decision_id).toBe('shared');
    expect(await report({ outcomes: [small()] })).toMatchObject([200, { outcomes: 1 }]);
    expect(await explained()).toMatchObject(bothStages);
    // Sent again, since its answer was lost.
    expect(await report({ outcomes: [small()] })).toMatchObject([200, { outcomes: 0 }]);
    expect(await explained()).toMatchObject(bothStages);
  });

  test('is joined to what the page reported first, and counted as one request', async () => {
    await report({ outcomes: [small()] });
    expect((await goOn('shared')).parameters?.decision_id).toBe('shared');
    expect(await explained()).toMatchObject(bothStages);
    expect(await requests()).toBe(1);
    await report({ outcomes: [small(), small({ decisionId: 'later' })] });
    await goOn('later');
    expect(await requests()).toBe(2);
  });

  test('is one request, too, where both stages run in the page', async () => {
    const large = ranInPage({ decisionId: 'shared', variant: 'large-fp32-onnx', totalMs: 30, computeMs: 20 });
    // The second time because the answer was lost.
    for (const counted of [2, 0]) {
      expect(await report({ outcomes: [small(), large] })).toMatchObject([200, { outcomes: counted }]);
    }
    expect(await explained()).toMatchObject({
      source: 'page',
      choice: { variant: 'large-fp32-onnx' },
      attempts: [{ variant: 'tiny-fp32-onnx' }, { variant: 'large-fp32-onnx' }],
      outcome: { status: 'ok', totalMs: 30 },
    });
    expect(await requests()).toBe(1);
  });

  test('is not taken over: not from the mesh, and not from somebody else', async () => {
    await goOn('shared');
    const again = await goOn('shared');
    expect(again.status).toBe(200);
    expect(again.parameters?.decision_id).not.toBe('shared');
    expect(await report({ outcomes: [small({ cascade: undefined } as Partial<Outcome>)] })).toMatchObject([
      200,
      { outcomes: 0 },
    ]);
    const body = JSON.stringify({ outcomes: [small({ decisionId: 'theirs' })] });
    await mesh.json('/v1/outcomes', { method: 'POST', body }, 'admin');
    expect((await goOn('theirs')).parameters?.decision_id).not.toBe('theirs');
  });

  test('is refused under an id that is none', async () => {
    expect(await goOn('no id!')).toMatchObject({ status: 400, code: 'MESH_BAD_PARAMETER' });
  });

  test("teaches how often the page's caller needs the large stage", async () => {
    const outcomes = Array.from({ length: 100 }, (_, index) => small({ decisionId: `page-${index}` }));
    await report({ outcomes });
    expect((await take()).escalations?.[0]?.rate).toBeGreaterThan(0.7);
    expect((await askFor(undefined, 'admin')).lease.escalations?.[0]?.rate).toBe(0.4);
  });
});
