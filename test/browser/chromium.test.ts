import { chromium } from 'playwright-core';
import { expect, test } from 'vitest';
import { CHROMIUM_FLAGS } from '../../cli/bin/find-chromium.js';
import { describeWithChromium } from '../support/chromium.ts';

describeWithChromium('the Chromium of the tests', (executablePath) => {
  test('gives a WebGPU device without a GPU', async () => {
    await using browser = await chromium.launch({ executablePath, args: [...CHROMIUM_FLAGS] });
    const page = await browser.newPage();
    // WebGPU needs a secure context, which about:blank is not; the answer never leaves the process.
    await page.route('http://localhost/', (route) => route.fulfill({ contentType: 'text/html', body: '' }));
    await page.goto('http://localhost/');
    const limit = await page.evaluate(async () => {
      const adapter = await navigator.gpu.requestAdapter();
      const device = await adapter?.requestDevice();
      return device?.limits.maxComputeWorkgroupSizeX ?? 0;
    });
    expect(limit).toBeGreaterThan(0);
  });
});
