import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createToken } from '@nearfar/coordinator';
import { type Edge, startEdge } from '@nearfar/edge';
import { float32Values, manifestSchema, parseOrThrow } from '@nearfar/protocol';
import { encode as encodePng } from 'fast-png';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { CHROMIUM_FLAGS } from '../../cli/bin/find-chromium.js';
import { startWanProxy } from '../../cli/src/demo/wan-proxy.ts';
import { createPictureThread } from '../../coordinator/src/drivers/node/picture-thread.ts';
import { describeWithChromium } from '../support/chromium.ts';
import { insertExif } from '../support/exif.ts';
import {
  armWorkers,
  crashEngines,
  encodeJpegInPage,
  inferPixels,
  inferSteadily,
  inferZeros,
  longestGapMs,
  openDriver,
  prepareInPage,
  preprocessInPage,
  serveInsecurely,
  servePolicy,
} from '../support/page.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

describeWithChromium('the SDK in a page', (executablePath) => {
  let stateDirectory: string;
  let edge: Edge;
  let token: string;
  let browser: Browser;
  let context: BrowserContext;

  beforeAll(async () => {
    stateDirectory = await mkdtemp(join(tmpdir(), 'nearfar-sdk-'));
    edge = await startEdge({
      port: 0,
      stateDirectory: join(stateDirectory, 'state'),
      assetsDirectory: here('../../web/dist'),
      manifests: [
        here('../../models/digits/manifest.json'),
        here('../../models/fashion/manifest.json'),
        await wrongGoldenManifest(join(stateDirectory, 'wrong')),
      ],
      log: () => undefined,
    });
    const isReady = async (task: string) =>
      (await fetch(`${edge.url}/v2/models/${task}/ready`, { headers: { authorization: `Bearer ${token}` } }))
        .ok;
    token = await createToken(edge.secret, { role: 'client', subject: 'sdk-test' });
    await vi.waitUntil(async () => (await isReady('digits')) && (await isReady('fashion')), {
      timeout: 60_000,
      interval: 100,
    });
    browser = await chromium.launch({ executablePath, args: [...CHROMIUM_FLAGS] });
  });

  afterAll(async () => {
    await browser?.close();
    await edge?.close();
    await rm(stateDirectory, { recursive: true, force: true });
  });

  beforeEach(async () => {
    context = await browser.newContext();
  });

  afterEach(async () => {
    await context.close();
  });

  describe('a picture becomes the same tensor as on the mesh', () => {
    const reader = createPictureThread();
    afterAll(() => reader.close());

    test.each(['digits', 'fashion'] as const)('%s: every sample, bit by bit', async (task) => {
      const { preprocess } = await readTask(task);
      const page = await openDriver(context, edge.url, token);
      for (const name of await readdir(here(`../../models/${task}/samples`))) {
        const bytes = await readFile(here(`../../models/${task}/samples/${name}`));
        const onMesh = await reader.toTensor(bytes, 'image/png', preprocess);
        const inPage = await preprocessInPage(page, task, bytes, 'image/png');
        expect(inPage, name).toEqual(Array.from(float32Values(onMesh)));
      }
    });

    test('a large coloured picture, bit by bit', async () => {
      const { preprocess } = await readTask('fashion');
      const bytes = encodePng({ width: 613, height: 419, channels: 3, depth: 8, data: plasma(613, 419) });
      const onMesh = await reader.toTensor(bytes, 'image/png', preprocess);
      const page = await openDriver(context, edge.url, token);
      expect(await preprocessInPage(page, 'fashion', bytes, 'image/png')).toEqual(
        Array.from(float32Values(onMesh)),
      );
    });

    // Small and sharp, with colours at half the size: where decoders differ most.
    test.each([
      ['a JPEG', undefined],
      ['a JPEG that is to be turned to the right', 6],
    ])('%s, bit by bit', async (_name, orientation) => {
      const { preprocess } = await readTask('fashion');
      const page = await openDriver(context, edge.url, token);
      const stored = await encodeJpegInPage(page, 47, 33);
      const bytes = orientation === undefined ? stored : insertExif(stored, { value: orientation });
      const onMesh = await reader.toTensor(bytes, 'image/jpeg', preprocess);
      expect(await preprocessInPage(page, 'fashion', bytes, 'image/jpeg')).toEqual(
        Array.from(float32Values(onMesh)),
      );
    });
  });

  test('while the page infers, its main thread never stands still for 50 ms', async () => {
    const page = await openDriver(context, edge.url, token);
    await prepareInPage(page, 'digits');
    const idleMs = await idleGapMs(page);
    const { gapMs, tiers } = await longestGapMs(page, 30);
    expect(new Set(tiers)).toEqual(new Set(['browser']));
    // Where the page stands still while it does nothing, the machine is busy: only what inferring adds counts.
    expect(gapMs).toBeLessThan(idleMs <= 25 ? 50 : idleMs + 50);
  });

  test('in a page that asks steadily, at least 95 % of the decisions do not wait for the network', async () => {
    const far = await startWanProxy(edge.url, 80);
    const page = await openDriver(context, far.url, token);
    await prepareInPage(page, 'digits');
    // Long enough for several renewals of the lease, each of which takes as long as the way to the mesh.
    const steady = { count: 60, everyMs: 50, options: { sloMs: 5_000 } };
    const { total, waited, tiers } = await inferSteadily(page, steady);
    expect([total, tiers.length]).toEqual([60, 60]);
    expect(waited / total).toBeLessThanOrEqual(0.05);
    await page.close();
    await far.close();
  });

  test('an explained answer of the page can be looked up on the mesh, with every candidate', async () => {
    const page = await openDriver(context, edge.url, token);
    await prepareInPage(page, 'digits');
    const { placement, explanation } = await inferZeros(page, {
      sloMs: 5_000,
      privacy: 'local_only',
      explain: true,
    });
    const lookUp = () =>
      fetch(`${edge.url}/v1/decisions/${placement.decisionId}`, {
        headers: { authorization: `Bearer ${token}` },
      });
    await vi.waitUntil(async () => (await lookUp()).ok, { timeout: 10_000, interval: 100 });
    const decision = (await (await lookUp()).json()) as { source: string; candidates: { tier: string }[] };
    expect(decision.source).toBe('page');
    expect(decision.candidates).toEqual(explanation);
    expect(new Set(decision.candidates.map(({ tier }) => tier))).toEqual(new Set(['browser', 'edge']));
  });

  test('a download that was changed on its way never runs; requests go to the edge', async () => {
    const page = await openDriver(context, edge.url, token);
    await page.route('**/v1/artifacts/*', async (route) => {
      const response = await route.fetch();
      const body = await response.body();
      body[body.length - 2] = (body.at(-2) ?? 0) ^ 1;
      await route.fulfill({ response, body });
    });
    await expect(prepareInPage(page, 'digits')).rejects.toThrow(
      /MESH_DEVICE_UNAVAILABLE.*is not what it should be/,
    );
    expect((await inferZeros(page, { sloMs: 5_000 })).placement.tier).toBe('edge');
  });

  test('a device that gives other numbers than the known ones is never used', async () => {
    const page = await openDriver(context, edge.url, token);
    await expect(prepareInPage(page, 'wrong')).rejects.toThrow(/MESH_DEVICE_UNAVAILABLE.*Self-test.*differs/);
    await expect(inferZeros(page, { privacy: 'local_only' }, 'wrong')).rejects.toThrow(
      'MESH_NO_FEASIBLE_PLACEMENT',
    );
  });

  test('an engine that dies is replaced, and its request is answered by the edge', async () => {
    // So far away that the page is chosen first.
    const far = await startWanProxy(edge.url, 150);
    await armWorkers(context);
    const page = await openDriver(context, far.url, token, ['ort-wasm']);
    await prepareInPage(page, 'digits');
    const { answer, failovers } = await crashEngines(page, { sloMs: 120 });
    expect(answer.placement.tier).toBe('edge');
    expect(failovers).toEqual(['browser']);
    const again = await inferZeros(page, { sloMs: 5_000, privacy: 'local_only' });
    expect(again.placement.tier).toBe('browser');
    await page.close();
    await far.close();
  });

  test('without a network the page still answers what it can', async () => {
    const page = await openDriver(context, edge.url, token);
    await prepareInPage(page, 'digits');
    await context.setOffline(true);
    expect((await inferZeros(page, { sloMs: 5_000 })).placement.tier).toBe('browser');
    await context.setOffline(false);
  });

  test('downloads are kept: a second visit fetches no weights', async () => {
    const first = await openDriver(context, edge.url, token);
    await prepareInPage(first, 'digits');
    await first.close();
    const second = await openDriver(context, edge.url, token);
    let fetched = 0;
    second.on('request', (request) => {
      if (request.url().includes('/v1/artifacts/')) fetched += 1;
    });
    await prepareInPage(second, 'digits');
    expect(fetched).toBe(0);
  });

  test('a page over plain HTTP is answered by the mesh and says what its device would need', async () => {
    const insecure = await serveInsecurely(context, edge.url);
    const page = await openDriver(context, insecure, token);
    expect(await page.evaluate(() => isSecureContext)).toBe(false);
    expect(await inferPixels(page)).toBe('edge');
    await expect(prepareInPage(page, 'digits')).rejects.toThrow(/MESH_DEVICE_UNAVAILABLE.*HTTPS/);
  });

  test('a page that may have no workers reads pictures itself, with the same numbers', async () => {
    await servePolicy(context, edge.url, "worker-src 'none'");
    const page = await openDriver(context, edge.url, token);
    expect(await inferPixels(page)).toBe('edge');
    const { preprocess } = await readTask('fashion');
    const bytes = encodePng({ width: 61, height: 41, channels: 3, depth: 8, data: plasma(61, 41) });
    const reader = createPictureThread();
    const onMesh = await reader.toTensor(bytes, 'image/png', preprocess);
    await reader.close();
    expect(await preprocessInPage(page, 'fashion', bytes, 'image/png')).toEqual(
      Array.from(float32Values(onMesh)),
    );
    await expect(prepareInPage(page, 'digits')).rejects.toThrow(/MESH_DEVICE_UNAVAILABLE.*worker/);
  });

  test.each([['tfjs-webgpu', 'ort-wasm'], ['ort-wasm']] as const)(
    'the policy that the README names is enough for %s',
    async (...engines) => {
      const policy =
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; img-src data:";
      await servePolicy(context, edge.url, policy);
      const page = await openDriver(context, edge.url, token, engines);
      const [variant] = await prepareInPage(page, 'digits');
      expect(variant?.engine).toBe(engines[0]);
    },
  );

  test('an unknown task and a wrong shape are told as the mesh tells them', async () => {
    const page = await openDriver(context, edge.url, token);
    await expect(inferZeros(page, {}, 'nothing')).rejects.toThrow('MESH_UNKNOWN_TASK');
    await expect(inferZeros(page, { sloMs: Number.NaN })).rejects.toThrow('MESH_BAD_PARAMETER');
  });
});

/** The longest time between two turns of the page's event loop within a second and a half in which it does nothing. */
async function idleGapMs(page: Page): Promise<number> {
  return await page.evaluate(async () => {
    const endsAt = performance.now() + 1_500;
    let gapMs = 0;
    for (let last = performance.now(); last < endsAt; ) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      const now = performance.now();
      gapMs = Math.max(gapMs, now - last);
      last = now;
    }
    return gapMs;
  });
}

async function readTask(task: string) {
  const text = await readFile(here(`../../models/${task}/manifest.json`), 'utf8');
  const { preprocess } = parseOrThrow(manifestSchema, JSON.parse(text), 'MESH_BAD_MANIFEST', 'manifest');
  if (preprocess?.kind !== 'image') throw new Error(`Expected "${task}" to take pictures`);
  return { preprocess };
}

/** The digits task under another name, with golden outputs that no device gives. */
async function wrongGoldenManifest(folder: string): Promise<string> {
  await cp(here('../../models/digits'), folder, { recursive: true });
  const golden = JSON.parse(await readFile(join(folder, 'golden.json'), 'utf8')) as {
    outputs: Record<string, { logits: { base64: string } }>;
  };
  for (const { logits } of Object.values(golden.outputs)) {
    const values = Buffer.from(logits.base64, 'base64');
    values.writeFloatLE(values.readFloatLE(0) + 1, 0);
    logits.base64 = values.toString('base64');
  }
  await writeFile(join(folder, 'golden.json'), JSON.stringify(golden));
  const path = join(folder, 'manifest.json');
  const manifest = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  await writeFile(path, JSON.stringify({ ...manifest, task: 'wrong' }));
  return path;
}

/** A smooth RGB picture with every value. */
function plasma(width: number, height: number): Uint8Array {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const offset = (y * width + x) * 3;
      data[offset] = (x * 7 + y * 3) & 255;
      data[offset + 1] = Math.round(127 + 120 * Math.sin(x / 17));
      data[offset + 2] = Math.round(127 + 120 * Math.cos(y / 23 + x / 41));
    }
  }
  return data;
}
