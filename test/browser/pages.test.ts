import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createToken } from '@nearfar/coordinator';
import { startEdge } from '@nearfar/edge';
import { MeshError } from '@nearfar/protocol';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { CHROMIUM_FLAGS } from '../../cli/bin/find-chromium.js';
import { describeWithChromium } from '../support/chromium.ts';
import { drawSeven } from '../support/draw.ts';

/** A name that is not this machine's own: without TLS a browser takes it for insecure. */
const INSECURE_HOST = 'mesh.test';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

describeWithChromium('the pages on a real mesh', (executablePath) => {
  let stateDirectory: string;
  let edge: Awaited<ReturnType<typeof startEdge>>;
  let browser: Browser;
  let token: string;

  beforeAll(async () => {
    stateDirectory = await mkdtemp(join(tmpdir(), 'nearfar-pages-'));
    edge = await startEdge({
      port: 0,
      stateDirectory,
      assetsDirectory: here('../../web/dist'),
      manifests: [here('../../models/digits/manifest.json')],
      log: () => undefined,
    });
    await vi.waitUntil(async () => (await fetch(`${edge.url}/v2/health/ready`)).ok, {
      timeout: 30_000,
      interval: 100,
    });
    token = await createToken(edge.secret, { role: 'client', subject: 'pages-test' });
    const rules = `--host-resolver-rules=MAP ${INSECURE_HOST} 127.0.0.1`;
    browser = await chromium.launch({ executablePath, args: [...CHROMIUM_FLAGS, rules] });
  });

  afterAll(async () => {
    await browser?.close();
    await edge?.close();
    await rm(stateDirectory, { recursive: true, force: true });
  });

  /** Calls once, so that there is a decision to show. */
  async function ask(query = ''): Promise<void> {
    const response = await fetch(`${edge.url}/v1/tasks/digits/infer${query}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'image/png' },
      body: await readFile(here('../../models/digits/samples/seven.png')),
    });
    expect(response.status).toBe(200);
  }

  test('the console lists the workers and hides the token', async () => {
    const page = await browser.newPage();
    await page.goto(`${edge.url}/?token=${token}`);
    await page.waitForSelector('#live[data-state="live"]');
    expect(await page.locator('#workers h3').allInnerTexts()).toEqual(['edge-1']);
    expect(await page.locator('#tasks h3').allInnerTexts()).toEqual(['digits']);
    expect(page.url()).not.toContain('token');
    await page.close();
  });

  test('the console asks for a token when it has none', async () => {
    const page = await (await browser.newContext()).newPage();
    await page.goto(`${edge.url}/`);
    expect(await page.getByRole('alert').innerText()).toContain('asks for a token');
    await page.context().close();
  });

  test('the console says once that the mesh is gone', async () => {
    const page = await browser.newPage();
    await page.goto(`${edge.url}/?token=${token}`);
    await page.waitForSelector('#live[data-state="live"]');
    await page.route('**/v1/**', (route) => route.abort());
    const sentences = (await page.getByRole('alert').innerText()).split(/\n+/);
    expect(sentences[0]).toBe('The mesh does not answer');
    expect(new Set(sentences).size).toBe(sentences.length);
    await page.close();
  });

  test('on the narrowest phone no figure of a decision runs out of its cell', async () => {
    await ask('?slo_ms=9000');
    const page = await browser.newPage({ viewport: { width: 320, height: 640 } });
    await page.goto(`${edge.url}/?token=${token}`);
    await page.waitForSelector('#decisions button');
    const overflowing = await page
      .locator('#decisions :is(td, th)')
      .evaluateAll((cells) =>
        cells.filter((cell) => cell.scrollWidth > cell.clientWidth).map((cell) => cell.textContent),
      );
    expect(overflowing).toEqual([]);
    await page.close();
  });

  test('the console shows advice that pages got only when it is asked for', async () => {
    await ask();
    await fetch(`${edge.url}/v1/placements`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ task: 'digits', parameters: { slo_ms: 5_000 }, payloadBytes: 3_136 }),
    });
    const page = await browser.newPage();
    await page.goto(`${edge.url}/?token=${token}`);
    await page.waitForSelector('#decisions button');
    expect(await page.locator('#decisions td', { hasText: 'advice' }).count()).toBe(0);
    await page.getByLabel('Show advice').check();
    expect(await page.locator('#decisions td', { hasText: 'advice' }).count()).toBe(1);
    await page.close();
  });

  test('the console explains a decision, opened and closed by keyboard', async () => {
    await ask();
    const page = await browser.newPage();
    await page.goto(`${edge.url}/?token=${token}`);
    await page.locator('#decisions button').first().press('Enter');
    await page.waitForSelector('dialog[open] tr.is-chosen');
    expect(await page.locator('dialog[open] tbody tr').count()).toBeGreaterThan(1);
    await page.keyboard.press('Escape');
    expect(await page.locator('dialog[open]').count()).toBe(0);
    await page.close();
  });

  test('the demo answers a drawn digit', async () => {
    const page = await browser.newPage({ viewport: { width: 390, height: 844 } });
    await page.goto(`${edge.url}/demo?token=${token}`);
    await page.waitForSelector('#submit:enabled');
    await drawSeven(page);
    await page.waitForSelector('#answer .best');
    expect(await page.locator('#answer .best').innerText()).toBe('7');
    expect(await page.locator('#why tbody tr.is-chosen').count()).toBe(1);
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(
      0,
    );
    await page.close();
  });

  test('the demo says of a file without a type that it is no picture, and forgets the former answer', async () => {
    const page = await browser.newPage();
    await page.goto(`${edge.url}/demo?token=${token}`);
    await page.waitForSelector('#submit:enabled');
    await drawSeven(page);
    await page.waitForSelector('#why tbody tr.is-chosen');
    await page.evaluate(() => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(['no picture'], 'notes'));
      document.dispatchEvent(new DragEvent('drop', { dataTransfer, cancelable: true }));
    });
    await page.waitForSelector('#answer :text("\\"notes\\" is not a picture")');
    expect(await page.locator('#why tbody tr').count()).toBe(0);
    await page.close();
  });

  test('the demo asks for another token when its own has expired, and promises no answer', async () => {
    const page = await browser.newPage();
    await page.goto(`${edge.url}/demo?token=${token}`);
    const error = new MeshError('MESH_UNAUTHENTICATED', 'The token has expired');
    await page.route('**/v1/**', (route) => route.fulfill({ status: error.status, json: error.toBody() }));
    let isFirst = true;
    await page.route('**/v1/models', (route) => {
      if (!isFirst) return route.fallback();
      isFirst = false;
      return route.continue();
    });
    await page.reload();
    await page.waitForSelector('#submit:enabled');
    await page.waitForSelector('#device .preparing-state:text("expired")');
    expect(await page.locator('#device').innerText()).not.toContain('Answers come from');
    await drawSeven(page);
    expect(await page.getByRole('alert').innerText()).toContain('This mesh asks for a token');
    await page.close();
  });

  test('the pages need nothing that browsers keep for secure origins', async () => {
    const page = await browser.newPage();
    const origin = edge.url.replace('127.0.0.1', INSECURE_HOST);
    await page.goto(`${origin}/?token=${token}`);
    await page.waitForSelector('#live[data-state="live"]');
    expect(await page.evaluate(() => isSecureContext)).toBe(false);
    await page.goto(`${origin}/demo`);
    await page.waitForSelector('#submit:enabled');
    await drawSeven(page);
    await page.waitForSelector('#answer .best');
    expect(await page.locator('#answer .best').innerText()).toBe('7');
    await page.close();
  });
});

describeWithChromium('the demo page where there is no WebGPU', (executablePath) => {
  test('says so, and answers on the device all the same', async () => {
    const stateDirectory = await mkdtemp(join(tmpdir(), 'nearfar-pages-'));
    const edge = await startEdge({
      port: 0,
      stateDirectory,
      assetsDirectory: here('../../web/dist'),
      manifests: [here('../../models/digits/manifest.json')],
      log: () => undefined,
    });
    const args = CHROMIUM_FLAGS.filter((flag) => !flag.includes('webgpu'));
    const browser = await chromium.launch({ executablePath, args });
    try {
      const token = await createToken(edge.secret, { role: 'client', subject: 'pages-test' });
      const page = await browser.newPage();
      await page.goto(`${edge.url}/demo?token=${token}`);
      await page.waitForSelector('#device :text("Ready:")', { timeout: 60_000 });
      expect(await page.locator('#device').innerText()).toMatch(/none: no adapter[\s\S]*ort-wasm/);
      await page.locator('label', { hasText: 'This device only' }).click();
      await drawSeven(page);
      await page.waitForSelector('#answer .best');
      expect(await page.locator('#answer .best').innerText()).toBe('7');
      expect(await page.locator('#answer .badges').innerText()).toContain('browser');
    } finally {
      await browser.close();
      await edge.close();
      await rm(stateDirectory, { recursive: true, force: true });
    }
  });
});
