import { LeaseLedger, wantedRequests } from '@nearfar/core';
import type { Lease } from '@nearfar/protocol';
import { afterEach, describe, expect, test } from 'vitest';
import { certainly, lease, leasedOption, taskInfo, variantSpec } from './builders.ts';
import { edgeAnswer, Page, type PageOptions } from './page.ts';

const LARGE = {
  variant: 'large-fp32-onnx',
  model: 'large',
  accuracy: { value: 0.96, source: 'declared', sampleSize: 0 },
} as const;
const task = taskInfo({}, [variantSpec(), variantSpec(LARGE)]);
const granted = lease({
  ttlMs: 30_000,
  remote: [leasedOption(), leasedOption({ variant: LARGE.variant, model: 'large', accuracy: 0.96 })],
});

/** A mesh whose one worker takes on `capacityMs` under all leases together, 10 ms a request. */
function ledgerMesh(capacityMs: number): NonNullable<PageOptions['grant']> {
  const ledger = new LeaseLedger();
  let nowMs = 0;
  return ({ lease: former }, nth): Lease => {
    nowMs += 1;
    const used = former === undefined ? undefined : ledger.report(former.id, former.remoteRequests)?.used;
    const id = `lease-${nth}`;
    const wanted = wantedRequests(used ?? 0);
    const grant = { id, subject: 'visitors', wanted, now: nowMs, endsAt: nowMs + 30_000 };
    const maxRequests = ledger.grant(grant, [{ worker: 'edge-1', capacityMs, requestMs: 10 }]);
    return { ...granted, id, maxRequests };
  };
}

const pages: Page[] = [];

async function pageWith(options: PageOptions, runMs = 5): Promise<Page> {
  const page = new Page({ granted, roundTripMs: 20, onRequest: async () => edgeAnswer(), ...options });
  pages.push(page);
  await page.ready(runMs);
  return page;
}

/** Asks ten times a second for a minute; every `remoteEvery`th request is one that this page cannot answer. */
async function askForAMinute(page: Page, remoteEvery: number): Promise<number> {
  for (let request = 0; request < 600; request += 1) {
    page.clock.ms = Math.max(page.clock.ms, request * 100);
    const isRemote = request % remoteEvery === remoteEvery - 1;
    const { placement } = await page.infer(
      isRemote ? { min_accuracy: 0.95 } : {},
      undefined,
      undefined,
      task,
    );
    expect(placement.tier).toBe(isRemote ? 'edge' : 'browser');
  }
  expect(page.decisions.total).toBe(600);
  return page.decisions.waited / page.decisions.total;
}

afterEach(() => {
  for (const page of pages.splice(0)) page.device.close();
});

describe('a page that asks steadily', () => {
  test('waits for the network in less than 5 % of its decisions, also where a third of them need the mesh', async () => {
    const page = await pageWith({ grant: ledgerMesh(60_000) });
    expect(await askForAMinute(page, 3)).toBeLessThan(0.05);
    // Renewed about every 2.5 s, in the background.
    expect(page.placements.length).toBeGreaterThan(15);
    expect(page.placements.length).toBeLessThan(60);
  });

  test('waits once for its first lease when it answers everything itself', async () => {
    const page = await pageWith({ grant: ledgerMesh(60_000) });
    await askForAMinute(page, 1_000);
    expect(page.decisions.waited).toBe(1);
    expect(page.sent).toEqual([]);
  });

  test('waits for each decision where leases end at once', async () => {
    const page = await pageWith({ granted: { ...granted, ttlMs: 0 } });
    expect(await askForAMinute(page, 3)).toBe(1);
  });
});

describe('a page whose lease is used up', () => {
  const remote = { min_accuracy: 0.95 };
  const ask = (page: Page, demands: Parameters<Page['infer']>[0]) =>
    page.infer(demands, undefined, undefined, task);

  const growing = {
    grant: (_: unknown, nth: number) => ({ ...granted, id: `lease-${nth}`, maxRequests: nth }),
  };

  test('has the next one by the time it needs it, where it runs something itself meanwhile', async () => {
    const page = await pageWith(growing);
    await ask(page, remote);
    page.clock.ms += 1_000;
    await ask(page, {});
    expect(page.placements.map(({ lease: former }) => former)).toEqual([
      undefined,
      { id: 'lease-1', remoteRequests: 1 },
    ]);
    await ask(page, remote);
    expect(page.decisions).toEqual({ total: 3, waited: 1 });
  });

  test('waits for the next one before it asks the mesh again', async () => {
    const page = await pageWith(growing);
    await ask(page, remote);
    page.clock.ms += 1_000;
    await ask(page, remote);
    expect(page.decisions).toEqual({ total: 2, waited: 2 });
    expect(page.sent).toHaveLength(2);
  });

  /** There and back is 20 ms, and the edge takes 8: a request that waits for a lease first needs 48. */
  const distant = {
    onRequest: async (page: Page) => {
      page.clock.ms += 28;
      return edgeAnswer();
    },
  };
  const single = (over: Partial<Lease>) => (_: unknown, nth: number) => {
    return { ...granted, ...over, id: `lease-${nth}`, maxRequests: 1 };
  };

  test('does not wait for the next one where the request could not be on time any more', async () => {
    const cheap = { remote: [leasedOption({ costPicoUsd: 0, worstCostPicoUsd: 0, compute: certainly(8) })] };
    // Here it would take 30 ms, which are too many after waiting, too.
    const page = await pageWith({ ...distant, grant: single(cheap) }, 30);
    expect((await ask(page, {})).placement.tier).toBe('edge');
    page.clock.ms += 1_000;
    expect((await ask(page, { slo_ms: 40 })).placement.tier).toBe('browser');
    expect(page.decisions).toEqual({ total: 2, waited: 1 });
    // But it was asked for, and is here by now.
    expect(page.placements).toHaveLength(2);
    expect((await ask(page, { slo_ms: 40 })).placement.tier).toBe('edge');
  });

  test('lets the mesh decide where neither waiting nor the page itself would be on time', async () => {
    const page = await pageWith({ ...distant, grant: single({}) });
    await ask(page, remote);
    page.clock.ms += 1_000;
    expect((await ask(page, { ...remote, slo_ms: 40 })).placement.tier).toBe('edge');
    expect(page.decisions).toEqual({ total: 2, waited: 1 });
  });

  test('gives less accuracy by itself only when the mesh has nothing more accurate on time', async () => {
    const page = await pageWith({ ...distant, grant: () => ({ ...granted, maxRequests: 0 }) });
    expect((await ask(page, { ...remote, degrade_to: 0.85 })).placement.tier).toBe('edge');
  });

  test('answers by itself what it can, and lets the mesh decide about the rest, when the mesh grants nothing', async () => {
    const cheap = { remote: [leasedOption({ costPicoUsd: 0, worstCostPicoUsd: 0 })] };
    const empty = await pageWith({ grant: () => ({ ...granted, ...cheap, maxRequests: 0 }) });
    expect((await ask(empty, {})).placement.tier).toBe('browser');
    const full = await pageWith({ grant: () => ({ ...granted, maxRequests: 0 }) });
    expect((await ask(full, remote)).placement.tier).toBe('edge');
    // A mesh that has just said that it has nothing is not asked again for each request.
    await ask(full, remote);
    expect(full.placements).toHaveLength(1);
    expect(full.sent).toHaveLength(2);
    const plenty = await pageWith({ grant: () => ({ ...granted, ...cheap, maxRequests: 5 }) });
    expect((await ask(plenty, {})).placement.tier).toBe('edge');
  });
});

describe('prices of scarce capacity', () => {
  const at = (epoch: number, picoUsdPerMs: number) => ({
    epoch,
    prices: [{ tier: 'edge' as const, deviceClass: 'cpu:test', picoUsdPerMs }],
  });
  const cheap = { remote: [leasedOption({ costPicoUsd: 1, worstCostPicoUsd: 1 })] };

  test('come with the answer to a report, and move the next requests away from what has become dear', async () => {
    const epochs: (number | undefined)[] = [];
    const page = await pageWith({
      granted: { ...granted, ...cheap, shadowPrices: at(1, 0) },
      onReport: ({ priceEpoch }) => {
        epochs.push(priceEpoch);
        return { outcomes: 1, profiles: 0, ...(priceEpoch !== 2 && { prices: at(2, 100) }) };
      },
    });
    const tierOf = async (demands = {}) =>
      (await page.infer(demands, undefined, undefined, task)).placement.tier;
    expect(await tierOf()).toBe('edge');
    expect(await tierOf({ privacy: 'local_only' })).toBe('browser');
    expect(await tierOf()).toBe('browser');
    expect(epochs).toEqual([1, 2]);
    // Accounts look at the cost alone, and so do caps.
    expect(await tierOf({ max_cost_usd: 2e-12, min_accuracy: 0.9 })).toBe('edge');
  });
});
