import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { CHROMIUM_FLAGS } from '../../cli/bin/find-chromium.js';
import { startWanProxy, type WanProxy } from '../../cli/src/demo/wan-proxy.ts';
import { describeWithChromium } from '../support/chromium.ts';
import { type MeshProcess, startMeshProcess } from '../support/mesh-process.ts';
import { inferZeros, openDriver, prepareInPage } from '../support/page.ts';

const FAR_ROUND_TRIP_MS = 150;
const SLO_MS = 120;

/**
 * How many times further away the mesh is put, and how many times longer the deadline, so that a page whose inputs take
 * `meanMs` has three times that, and 10 ms, within the deadline: 1 on all but very slow machines.
 */
function scaleFor(meanMs: number): number {
  return Math.max(1, (3 * meanMs) / (SLO_MS - 10));
}

describeWithChromium('where a page lets its requests run', (executablePath) => {
  let mesh: MeshProcess;
  let near: WanProxy;

  beforeAll(async () => {
    mesh = await startMeshProcess(['--pool-workers', '1']);
    await mesh.ready(2);
    near = await startWanProxy(mesh.url, 1);
  }, 120_000);

  afterAll(async () => {
    await near?.close();
    await mesh?.close();
  });

  describe.each([
    { name: 'with WebGPU', flags: [...CHROMIUM_FLAGS], engine: 'tfjs-webgpu' },
    {
      name: 'without WebGPU',
      flags: CHROMIUM_FLAGS.filter((flag) => !flag.includes('webgpu')),
      engine: 'ort-wasm',
    },
  ])('$name', ({ flags, engine }) => {
    let browser: Browser;
    let context: BrowserContext;

    beforeAll(async () => {
      browser = await chromium.launch({ executablePath, args: flags });
      context = await browser.newContext();
    });

    afterAll(async () => {
      await browser?.close();
    });

    const prepared = async (url: string): Promise<{ page: Page; meanMs: number }> => {
      const page = await openDriver(context, url, mesh.token);
      const ready = await prepareInPage(page, 'digits');
      expect(new Set(ready.map((variant) => variant.engine))).toEqual(new Set([engine]));
      return { page, meanMs: Math.min(...ready.map((variant) => variant.meanMs)) };
    };

    test(`behind a round trip of ${FAR_ROUND_TRIP_MS} ms, a deadline of ${SLO_MS} ms is met in the page`, async () => {
      const measured = await prepared(near.url);
      await measured.page.close();
      const scale = scaleFor(measured.meanMs);
      const far = await startWanProxy(mesh.url, FAR_ROUND_TRIP_MS * scale);
      onTestFinished(() => far.close());
      const { page } = await prepared(far.url);
      const { placement } = await inferZeros(page, { sloMs: SLO_MS * scale });
      expect(placement.tier).toBe('browser');
      await page.close();
    });

    test('next to the mesh, a request that both would answer in time goes to the edge, which is cheaper', async () => {
      const { page } = await prepared(near.url);
      // More than a busy machine's round trip, which counts as part of what the mesh takes.
      const { placement } = await inferZeros(page, { sloMs: 20 * SLO_MS });
      expect(placement.tier).toBe('edge');
      await page.close();
    });

    test('a payload that may not leave is answered in the page, and nothing of it is sent', async () => {
      const { page } = await prepared(near.url);
      const sent: string[] = [];
      page.on('request', (request) => {
        if (request.method() === 'POST') sent.push(new URL(request.url()).pathname);
      });
      const { placement } = await inferZeros(page, { sloMs: 2_000, privacy: 'local_only' });
      expect(placement.tier).toBe('browser');
      expect(sent.filter((path) => path.includes('/infer'))).toEqual([]);
      await page.close();
    });
  });

  test('a new page of a class that others measured is predicted before it has run anything', async () => {
    const report = async () => {
      const { profiles } = (await mesh.get('/v1/profiles')) as {
        profiles: { deviceClass: string; samples: number; variant: string }[];
      };
      return profiles.find(({ deviceClass }) => deviceClass === 'webgpu:google-swiftshader');
    };
    const known = await report();
    expect(known?.samples).toBeGreaterThan(0);
    const response = await fetch(`${mesh.url}/v1/placements`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${mesh.token}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({
        task: 'digits',
        parameters: { privacy: 'local_only', slo_ms: 5_000 },
        payloadBytes: 3_136,
        device: {
          deviceClass: known?.deviceClass,
          ready: [{ variant: known?.variant, revision: 1 }],
        },
      }),
    });
    const { placement } = (await response.json()) as { placement: { tier: string; predicted_ms: number } };
    expect(placement.tier).toBe('browser');
    expect(placement.predicted_ms).toBeGreaterThan(0);
  });
});
