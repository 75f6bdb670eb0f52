// Takes the pictures of the documentation from a running mesh of its own: node scripts/screenshots.ts [folder]
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createToken } from '@nearfar/coordinator';
import { startEdge } from '@nearfar/edge';
import { type Browser, chromium, type Page } from 'playwright-core';
import { CHROMIUM_FLAGS, findChromium } from '../cli/bin/find-chromium.js';
import { drawSeven } from '../test/support/draw.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const SIZES = { desktop: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } } as const;

const folder = process.argv[2] ?? here('../docs/images');
await mkdir(folder, { recursive: true });
const stateDirectory = await mkdtemp(join(tmpdir(), 'nearfar-screenshots-'));
const edge = await startEdge({
  port: 0,
  stateDirectory,
  assetsDirectory: here('../web/dist'),
  manifests: [here('../models/digits/manifest.json'), here('../models/fashion/manifest.json')],
  log: () => undefined,
});
const token = await createToken(edge.secret, { role: 'admin', subject: 'screenshots' });
const executablePath = findChromium();
if (executablePath === undefined) throw new Error('Expected to find a Chromium');
const browser = await chromium.launch({ executablePath, args: [...CHROMIUM_FLAGS] });
try {
  for (const [name, viewport] of Object.entries(SIZES)) {
    for (const scheme of name === 'desktop' ? (['light', 'dark'] as const) : (['light'] as const)) {
      const suffix = `${name === 'desktop' ? '' : `-${name}`}${scheme === 'light' ? '' : '-dark'}`;
      const page = await open(browser, viewport, scheme, `/demo?token=${token}`);
      await drawSeven(page);
      await page.waitForSelector('#answer .best');
      await page.waitForSelector('#device :text("Ready:")', { timeout: 120_000 });
      await page.waitForSelector('#why tbody tr.is-chosen');
      await page.screenshot({ path: join(folder, `demo${suffix}.png`), fullPage: true });
      await page.goto(`${edge.url}/?token=${token}`);
      await page.waitForSelector('#decisions button');
      await page.screenshot({ path: join(folder, `console${suffix}.png`), fullPage: true });
      await page.context().close();
    }
  }
} finally {
  await browser.close();
  await edge.close();
  await rm(stateDirectory, { recursive: true, force: true });
}

async function open(
  from: Browser,
  viewport: { width: number; height: number },
  colorScheme: 'light' | 'dark',
  path: string,
): Promise<Page> {
  const context = await from.newContext({ viewport, colorScheme });
  const page = await context.newPage();
  await page.goto(`${edge.url}${path}`);
  await page.waitForSelector('#submit:enabled');
  return page;
}
