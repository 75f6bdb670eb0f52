import { LoadView, priceOf } from '@nearfar/core';
import { describe, expect, test } from 'vitest';
import type { FleetWorker } from '../../../coordinator/src/fleet-worker.ts';
import { ShadowPrices } from '../../../coordinator/src/shadow-prices.ts';
import { ManualClock } from '../../support/worker/manual-clock.ts';

const DEVICE_CLASS = 'cpu:test';

function setUp() {
  const clock = new ManualClock();
  const load = new LoadView(1);
  const worker = {
    hello: { tier: 'pool', device: { deviceClass: DEVICE_CLASS }, slots: 1 },
    load,
    state: 'active',
  } as unknown as FleetWorker;
  const workers = [worker];
  const prices = new ShadowPrices(clock, () => workers);
  const priceNow = () => priceOf(prices.table, 'pool', DEVICE_CLASS);
  priceNow();
  /** One second in which the worker ran for so many milliseconds. */
  const second = async (busyMs: number, slackMs = 100) => {
    prices.used(worker, { busyMs, slackMs });
    await clock.advance(1_000);
    return priceNow();
  };
  return { clock, load, workers, prices, priceNow, second };
}

describe('shadow prices of a running mesh', () => {
  test('rise while a class is nearly full, and are gone some time after', async () => {
    const { second } = setUp();
    expect(await second(300, 10_000)).toBe(0);
    const risen = await second(950);
    expect(risen).toBeGreaterThan(0);
    expect(await second(950)).toBeGreaterThan(risen);
    for (let quiet = 0; quiet < 5; quiet += 1) await second(0);
    expect(await second(0)).toBe(0);
  });

  test('count what waits now and did not before as asked for', async () => {
    const [full, over] = [setUp(), setUp()];
    over.load.dispatched(1, 3_000, 0);
    expect(await over.second(1_000)).toBeGreaterThan(await full.second(1_000));
  });

  test('follow the plan at once, and what was measured only after a second', async () => {
    const { clock, prices, priceNow } = setUp();
    await clock.advance(999);
    prices.setPlan([{ tier: 'pool', deviceClass: DEVICE_CLASS, picoUsdPerMs: 700 }]);
    expect(priceNow()).toBe(700);
  });

  test('name no class without workers', async () => {
    const { workers, second, prices } = setUp();
    await second(1_000);
    workers.length = 0;
    await second(1_000);
    expect(prices.table.prices).toEqual([]);
  });
});
