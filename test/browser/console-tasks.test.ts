import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHROMIUM_FLAGS } from '../../cli/bin/find-chromium.js';
import { describeWithChromium } from '../support/chromium.ts';
import { consoleAnswers } from '../support/console/console-answers.ts';
import { type ConsoleMesh, startConsoleMesh } from '../support/console/console-mesh.ts';

describeWithChromium('the tasks of the console', (executablePath) => {
  let browser: Browser;
  let mesh: ConsoleMesh;

  beforeAll(async () => {
    mesh = await startConsoleMesh(consoleAnswers());
    browser = await chromium.launch({ executablePath, args: [...CHROMIUM_FLAGS] });
  });

  afterAll(async () => {
    await browser?.close();
    await mesh?.close();
  });

  async function open(options: BrowserContextOptions = {}): Promise<Page> {
    const page = await browser.newPage(options);
    await page.goto(mesh.url);
    await page.waitForSelector('#live[data-state="live"]');
    return page;
  }

  /** Cells of the row of a variant, as they are read. */
  async function rowOf(page: Page, variant: string): Promise<string> {
    const row = page.locator('.variant-table tbody tr', {
      has: page.getByRole('rowheader', { name: variant }),
    });
    return (await row.first().innerText()).replace(/\s+/g, ' ');
  }

  test('each variant shows its accuracy with where it is from, its size, speed and cost', async () => {
    const page = await open();
    const measured = await rowOf(page, 'tiny-int8-onnx revision');
    expect(measured).toContain('89.17 % measured on 10,000, 88.56 to 89.78 %');
    expect(measured).toContain('−0.04 points (−0.2 to +0.11)');
    expect(measured).toContain('33 KiB');
    expect(measured).toMatch(/cpu:x64-2 0\.207 ms \/ 0\.393 ms [\d.]+ µ\$ edge [\d.]+ µ\$ pool/);

    const bound = await rowOf(page, 'mobilenet-025-int8-onnx');
    expect(bound).toContain('≥ 48.99 % lower bound');
    expect(bound).toContain('agrees on 99.19 % of 247 crops of the samples');
    expect(bound).not.toContain('measured on');
    expect(await rowOf(page, 'mobilenet-025-fp32-tfjs')).toMatch(/declared, not measured .*not measured yet/);
    expect(await rowOf(page, 'silero-fp32-onnx')).toContain('not known');
    await page.close();
  });

  test('a cascade shows its stages, its threshold and how often it escalates', async () => {
    const page = await open();
    const row = await rowOf(page, 'tiny-int8-onnx..large-fp32-onnx.t93');
    expect(row).toContain('tiny-int8-onnx, then large-fp32-onnx where the score is below 0.93');
    expect(row).toMatch(/escalates 31\.8 % of 5,000 \(30\.51 to 33\.09 %\)/);
    await page.close();
  });

  test('a dominated variant is muted and says by which', async () => {
    const page = await open();
    const muted = page.locator('.variant-table tr.is-dominated', { hasText: 'small-fp16-onnx' });
    expect(await muted.innerText()).toContain('dominated by small-int8-dynamic-onnx');
    // On another class it is the best there is, so only its line is muted.
    const mixed = page.locator('.variant-table tr', { hasText: 'tiny-fp32-tfjs' });
    expect(await mixed.getAttribute('class')).toBeNull();
    expect(await mixed.locator('li.is-dominated').count()).toBe(1);
    await page.close();
  });

  test('a revision on its way is told with its share, and what a rollback brings back', async () => {
    const page = await open();
    const [fashion, imagenet] = await page.locator('.task .card-head').allInnerTexts();
    expect(fashion).toContain('revision 4 takes 10\u00a0% of requests (canary)');
    expect(fashion).toContain('a rollback brings back revision 2');
    expect(imagenet).toContain('revision 2 is warming, then is compared on 20\u00a0% of requests');
    await page.close();
  });

  test('what is not served is folded, and opens by keyboard with the reasons', async () => {
    const page = await open();
    const details = page.locator('details.rejected').first();
    expect(await details.getByText('InstanceNormalization').isVisible()).toBe(false);
    await details.locator('summary').press('Enter');
    expect(await details.getByText('InstanceNormalization').isVisible()).toBe(true);
    expect(await page.locator('details.rejected').nth(1).isVisible()).toBe(false);
    await page.close();
  });

  test('profiles show the parts of the load, memory, samples, age and what is stale', async () => {
    const page = await open();
    await page.locator('details.measured-profiles summary').first().click();
    const rows = page.locator('.profile-table').first().locator('tbody tr');
    // The rows are drawn by the event that follows the opening, not by the click itself.
    await rows.first().waitFor();
    const [stale] = await rows.filter({ hasText: 'stale' }).allInnerTexts();
    expect(stale?.replace(/\s+/g, ' ')).toMatch(
      /small-fp32-onnx.*download 22 ms \+ session .* \+ first run .* 31 h stale/,
    );
    const [onPage] = await rows.filter({ hasText: 'webgpu:' }).allInnerTexts();
    expect(onPage).toContain('files were cached');
    expect(await rows.count()).toBe(43);
    await page.close();
  });

  describe('the chart', () => {
    test('has a name and tells in words what it shows', async () => {
      const page = await open();
      const chart = page.getByRole('img', {
        name: 'Accuracy of the variants of fashion against the median of one input on cpu:x64-2',
      });
      expect(await chart.count()).toBe(1);
      const words = await chart.locator('desc').textContent();
      expect(words).toContain('tiny-fp32-onnx with 89.21');
      expect(words).not.toContain('small-fp16-onnx');
      expect(await chart.locator('.point').count()).toBe(11);
      expect(await chart.locator('.point.is-dominated').count()).toBe(6);
      await page.close();
    });

    test('compares by the device class and the figure that are chosen by keyboard', async () => {
      const page = await open();
      await page.getByLabel('Compare on').selectOption('webgpu:google-swiftshader');
      const first = page.locator('.task').first();
      expect(await first.locator('.chart .point').count()).toBe(2);
      await page.getByLabel('latency').press('ArrowRight');
      expect(await first.locator('.chart title').first().textContent()).toContain('cost of 1,000 requests');
      // A task that never ran there says so and draws nothing.
      expect(await page.locator('.task').nth(1).locator('.chart').innerText()).toContain(
        'whose cost is known on webgpu:google-swiftshader',
      );
      expect(await page.locator('.task').nth(2).locator('.chart').isVisible()).toBe(false);
      await page.close();
    });
  });

  test('what was opened and chosen stays through a refresh that brings news', async () => {
    const own = await startConsoleMesh(consoleAnswers());
    const page = await browser.newPage();
    await page.goto(own.url);
    await page.waitForSelector('.task');
    await page.locator('details.rejected summary').first().click();
    await page.getByLabel('Compare on').selectOption('webgpu:google-swiftshader');
    const { models } = own.answers['/v1/models'] as {
      models: { variants: { accuracy: { value: number } }[] }[];
    };
    for (const { accuracy } of models[0]?.variants.slice(0, 1) ?? []) accuracy.value = 0.7777;
    await page.waitForSelector('.variant-table :text("77.77")', { timeout: 30_000 });
    expect(await page.locator('details.rejected').first().getAttribute('open')).not.toBeNull();
    expect(await page.getByLabel('Compare on').inputValue()).toBe('webgpu:google-swiftshader');
    await page.close();
    await own.close();
  });

  test('without a task it says how to add one, and offers nothing to compare by', async () => {
    const own = await startConsoleMesh({
      ...consoleAnswers(),
      '/v1/models': { models: [] },
      '/v1/pareto': { tasks: [] },
      '/v1/profiles': { profiles: [] },
    });
    const page = await browser.newPage();
    await page.goto(own.url);
    await page.waitForSelector('#live[data-state="live"]');
    expect(await page.locator('#tasks').innerText()).toContain('nearfar register <manifest.json>');
    expect(await page.locator('#compare').isVisible()).toBe(false);
    await page.close();
    await own.close();
  });

  test.each([
    ['a desktop', 1280],
    ['a phone', 390],
    ['the narrowest phone', 320],
  ])('on %s nothing runs out of its place', async (_, width) => {
    const page = await open({ viewport: { width, height: 800 } });
    for (const summary of await page.locator('.task summary:visible').all()) await summary.click();
    const overflowing = await page
      .locator('#tasks :is(td, th, li, dd)')
      .evaluateAll((cells) =>
        cells.filter((cell) => cell.scrollWidth > cell.clientWidth + 1).map((cell) => cell.textContent),
      );
    expect(overflowing).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(
      0,
    );
    await page.close();
  });
});
