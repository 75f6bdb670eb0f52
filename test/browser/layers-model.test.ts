import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createToken } from '@nearfar/coordinator';
import { startEdge } from '@nearfar/edge';
import { type Browser, type BrowserContext, chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CHROMIUM_FLAGS } from '../../cli/bin/find-chromium.js';
import { describeWithChromium } from '../support/chromium.ts';
import { openDriver, prepareInPage } from '../support/page.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Writes a Keras model of two layers for pictures of two pixels, y = x · [[1, 2], [3, 4]]; gives the path of its manifest. */
async function writeLayersTask(folder: string): Promise<string> {
  const flatten = { name: 'flatten', batch_input_shape: [null, 1, 2, 1], dtype: 'float32' };
  const dense = { name: 'dense', units: 2, use_bias: false, dtype: 'float32' };
  const layers = [
    { class_name: 'Flatten', config: flatten },
    { class_name: 'Dense', config: dense },
  ];
  const model = {
    format: 'layers-model',
    modelTopology: { class_name: 'Sequential', config: { name: 'sequential', layers } },
    weightsManifest: [
      { paths: ['weights'], weights: [{ name: 'dense/kernel', shape: [2, 2], dtype: 'float32' }] },
    ],
  };
  const image = {
    kind: 'image',
    input: 'pixels',
    width: 2,
    height: 1,
    channels: 'grayscale',
    layout: 'NHWC',
  };
  const manifest = {
    task: 'pixels',
    kind: 'image-classification',
    labels: ['left', 'right'],
    preprocess: { ...image, mean: [0], std: [1] },
    postprocess: { kind: 'classification', output: 'scores', activation: 'none' },
    models: [{ name: 'dense', format: 'tfjs', path: 'model.json', licence: 'Apache-2.0' }],
  };
  await writeFile(join(folder, 'model.json'), JSON.stringify(model));
  await writeFile(join(folder, 'weights'), new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer));
  const path = join(folder, 'manifest.json');
  await writeFile(path, JSON.stringify(manifest));
  return path;
}

describeWithChromium('a layers model in a page', (executablePath) => {
  let folder: string;
  let edge: Awaited<ReturnType<typeof startEdge>>;
  let browser: Browser;
  let context: BrowserContext;
  let token: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nearfar-layers-'));
    edge = await startEdge({
      port: 0,
      stateDirectory: join(folder, 'state'),
      assetsDirectory: here('../../web/dist'),
      manifests: [here('../../models/digits/manifest.json'), await writeLayersTask(folder)],
      log: () => undefined,
    });
    token = await createToken(edge.secret, { role: 'client', subject: 'layers-test' });
    browser = await chromium.launch({ executablePath, args: [...CHROMIUM_FLAGS] });
    context = await browser.newContext();
  });

  afterAll(async () => {
    await browser?.close();
    await edge?.close();
    await rm(folder, { recursive: true, force: true });
  });

  test('is run on WebGPU, and its runtime comes with the first one only', async () => {
    const asked: string[] = [];
    context.on('request', (request) => asked.push(request.url()));
    const hasAskedForLayers = () => asked.some((url) => url.includes('tfjs-layers'));
    const page = await openDriver(context, edge.url, token, ['tfjs-webgpu']);

    await prepareInPage(page, 'digits');
    expect(asked.some((url) => url.includes('tfjs-webgpu'))).toBe(true);
    expect(hasAskedForLayers()).toBe(false);

    const ready = await prepareInPage(page, 'pixels');
    expect(ready).toMatchObject([{ variant: 'dense-fp32-tfjs', engine: 'tfjs-webgpu' }]);
    expect(hasAskedForLayers()).toBe(true);

    const answer = await page.evaluate(() =>
      nearfarDriver.call({
        task: 'pixels',
        name: 'pixels',
        shape: [1, 1, 2, 1],
        values: [1, 10],
        sloMs: 10_000,
        minAccuracy: 0,
        privacy: 'local_only',
      }),
    );
    expect(answer).toMatchObject({ status: 'answered', tier: 'browser', scores: [31, 42] });
    await page.close();
  });
});
