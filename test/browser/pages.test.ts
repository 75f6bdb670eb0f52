import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createToken } from '@nearfar/coordinator';
import { startEdge } from '@nearfar/edge';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { CHROMIUM_FLAGS } from '../../cli/bin/find-chromium.js';
import { describeWithChromium } from '../support/chromium.ts';
import { drawSeven } from '../support/draw.ts';

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
    browser = await chromium.launch({ executablePath, args: [...CHROMIUM_FLAGS] });
  });

  afterAll(async () => {
    await browser?.close();
    await edge?.close();
    await rm(stateDirectory, { recursive: true, force: true });
  });

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

  test('the console explains a decision, opened and closed by keyboard', async () => {
    await fetch(`${edge.url}/v1/tasks/digits/infer`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'image/png' },
      body: await readFile(here('../../models/digits/samples/seven.png')),
    });
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
