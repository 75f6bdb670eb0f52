import { afterEach, describe, expect, test } from 'vitest';
import { certainly, lease, leasedOption, rowsOf } from './builders.ts';
import { edgeAnswer, Page, type PageOptions } from './page.ts';

/** What the page measured of each of 40 runs before. */
const MEASURED_MS = 20;

const pages: Page[] = [];

/** A page whose runs take `runMs` at present. */
async function pageWith(options: PageOptions = {}) {
  const device = { runMs: MEASURED_MS };
  const page = new Page({
    onRun: (own) => {
      own.clock.ms += device.runMs;
      return [rowsOf('y', 1, 3)];
    },
    ...options,
  });
  pages.push(page);
  await page.ready(MEASURED_MS);
  return { page, device, meanMs: () => page.device.ready[0]?.meanMs ?? Number.NaN };
}

afterEach(() => {
  for (const page of pages.splice(0)) page.device.close();
});

describe('a page whose runs take longer than it measured', () => {
  /** Between what was measured and what runs take once the device is slow. */
  const demands = { slo_ms: 50, slo_target: 0.9 };

  test('stops answering by itself long before the mean of all that it measured says so', async () => {
    const { page, device, meanMs } = await pageWith();
    const tierOf = async () => (await page.infer(demands)).placement.tier;
    for (let run = 0; run < 40; run += 1) expect(await tierOf()).toBe('browser');
    device.runMs = 60;
    let late = 0;
    while (late < 100 && (await tierOf()) === 'browser') late += 1;
    expect(late).toBeLessThan(12);
    expect(meanMs()).toBeLessThan(MEASURED_MS * 1.3);
  });

  test('tries again after some hundreds of requests, since what it took longer may be over', async () => {
    const { page, device } = await pageWith();
    device.runMs = 60;
    for (let run = 0; run < 12; run += 1) await page.infer(demands);
    const before = page.workers.runs.length;
    device.runMs = MEASURED_MS;
    let requests = 0;
    while (requests < 2_000 && page.workers.runs.length === before) {
      await page.infer(demands);
      requests += 1;
    }
    expect(requests).toBeGreaterThan(20);
    expect(requests).toBeLessThan(1_500);
  });

  test('predicts them rightly through a change of the device, of which its measurements tell only later', async () => {
    const { page, device, meanMs } = await pageWith();
    const predictedMs = async () => {
      const { placement } = await page.infer({ slo_ms: 5_000, privacy: 'local_only' });
      return placement.predictedMs;
    };
    device.runMs = 60;
    for (let run = 0; run < 10; run += 1) await predictedMs();
    const predictions: number[] = [];
    for (let run = 0; run < 90; run += 1) predictions.push(await predictedMs());
    // By then the measurements have started anew.
    expect(meanMs()).toBe(60);
    for (const predicted of predictions) {
      expect(predicted).toBeGreaterThan(40);
      expect(predicted).toBeLessThan(120);
    }
    for (const predicted of predictions.slice(-20)) expect(predicted / 60).toBeCloseTo(1, 1);
  });

  test('forgets its correction when its measurements start anew, which would be corrected twice otherwise', async () => {
    const { page, device, meanMs } = await pageWith();
    const predicted = async () =>
      (await page.infer({ slo_ms: 5_000, privacy: 'local_only' })).placement.predictedMs;
    device.runMs = 60;
    let runs = 0;
    let beforeMs = meanMs();
    // The times before the newest cease to count, so that the mean leaps.
    while (runs < 200 && meanMs() < beforeMs * 1.2) {
      beforeMs = meanMs();
      await predicted();
      runs += 1;
    }
    expect(runs).toBeLessThan(200);
    expect(await predicted()).toBeLessThan(90);
  });

  test('learns from a run that failed that it would have taken longer', async () => {
    let isBroken = true;
    const { page } = await pageWith({
      onRun: (own) => {
        own.clock.ms += isBroken ? 200 : MEASURED_MS;
        if (isBroken) throw new Error('device lost');
        return [rowsOf('y', 1, 3)];
      },
    });
    const local = { slo_ms: 5_000, privacy: 'local_only' } as const;
    await expect(page.infer(local)).rejects.toMatchObject({ code: 'MESH_EXECUTION_FAILED' });
    isBroken = false;
    expect((await page.infer(local)).placement.predictedMs).toBeGreaterThan(MEASURED_MS);
  });

  test('corrects no prediction by what several inputs at once took', async () => {
    const { page, device } = await pageWith();
    device.runMs = 60;
    const two = [rowsOf('x', 1, 2, 3, 4)];
    for (let run = 0; run < 20; run += 1)
      await page.infer({ slo_ms: 5_000, privacy: 'local_only' }, undefined, two);
    const { placement } = await page.infer({ slo_ms: 5_000, privacy: 'local_only' });
    expect(placement.predictedMs).toBe(MEASURED_MS);
  });

  test('reports what it measured as it was, once for each run', async () => {
    const { page, device } = await pageWith();
    device.runMs = 60;
    for (let run = 0; run < 10; run += 1) await page.infer({ slo_ms: 5_000, privacy: 'local_only' });
    const { profiles } = page.device.measured();
    expect(profiles).toHaveLength(1);
    const [{ computeMs }] = profiles as [(typeof profiles)[number]];
    expect(computeMs.sum).toBeCloseTo(40 * MEASURED_MS + 10 * 60, 6);
    expect(computeMs.buckets.reduce((sum, [, count]) => sum + count, 0)).toBe(50);
  });
});

describe('a place on the mesh that only its calibration keeps a request from', () => {
  /** It was predicted to take 10 ms, and is called slow since. */
  const slowed = leasedOption({
    compute: certainly(90),
    uncorrected: { link: certainly(0), wait: certainly(0), compute: certainly(10) },
    costPicoUsd: 1,
  });
  const place = {
    variant: 'tiny-fp32-onnx',
    revision: 1,
    tier: 'edge',
    deviceClass: 'cpu:test',
    worker: 'edge-1',
  };
  /** Each lease is renewed by the next request. */
  const soonOld = async (page: Page, requests: number, demands = { slo_ms: 50 }) => {
    for (let request = 0; request < requests; request += 1) await page.infer(demands);
    page.clock.ms += 3_000;
    await page.infer(demands);
  };
  const toldOf = (page: Page) => page.placements.at(-1)?.lease?.passedOver;

  test('is told to the mesh with the next lease, as often as it was passed over', async () => {
    const { page } = await pageWith({ granted: lease({ ttlMs: 30_000, remote: [slowed] }) });
    await soonOld(page, 5);
    expect(toldOf(page)).toEqual([{ ...place, requests: 5 }]);
    // That with which the lease was renewed belongs to the next one.
    await soonOld(page, 1);
    expect(toldOf(page)).toEqual([{ ...place, requests: 2 }]);
  });

  test.each([
    ['is on time', { remote: [leasedOption({ ...slowed, compute: certainly(20) })] }, { slo_ms: 50 }],
    ['was too slow before', { remote: [{ ...slowed, uncorrected: slowed }] }, { slo_ms: 50 }],
    ['is dearer than the page', { remote: [{ ...slowed, costPicoUsd: 1e6 }] }, { slo_ms: 50 }],
    ['is not accurate enough', { remote: [{ ...slowed, accuracy: 0.5 }] }, { slo_ms: 50, min_accuracy: 0.8 }],
  ])('is not where it %s', async (_, over, demands) => {
    const { page } = await pageWith({ granted: lease({ ttlMs: 30_000, ...over }) });
    await soonOld(page, 3, demands);
    expect(toldOf(page)).toBeUndefined();
  });

  test('is left to the mesh where that decides about the request itself', async () => {
    const other = leasedOption({ worker: 'edge-2', deviceClass: 'cpu:other', accuracy: 0.95 });
    const { page } = await pageWith({
      granted: lease({ ttlMs: 30_000, remote: [{ ...slowed, accuracy: 0.95 }, other] }),
      onRequest: async () => edgeAnswer({ worker: 'edge-2' }),
    });
    await soonOld(page, 3, { slo_ms: 50, min_accuracy: 0.94 } as { slo_ms: number });
    expect(page.sent).toHaveLength(4);
    expect(toldOf(page)).toBeUndefined();
  });
});
