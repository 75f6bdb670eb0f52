import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createToken } from '@nearfar/coordinator';
import { type Edge, startEdge } from '@nearfar/edge';
import type { VariantSpec } from '@nearfar/protocol';
import { type Browser, type BrowserContext, chromium } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { CHROMIUM_FLAGS } from '../../cli/bin/find-chromium.js';
import { describeWithChromium } from '../support/chromium.ts';
import { inferZeros, openDriver, prepareInPage } from '../support/page.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Any answer of the small stage is sure enough for this one, none for the other: no softmax of ten scores reaches 1. */
const ALWAYS_SURE = 'tiny..large.t1';
const NEVER_SURE = 'tiny..large.t100';

/** A cascade of the fashion sample's tiny and large models, with figures that nobody measured. */
function cascadeOf(small: VariantSpec, variant: string, threshold: number): VariantSpec {
  const { golden: _, ...facts } = small;
  const interval = { low: 0, high: 1 };
  return {
    ...facts,
    variant,
    model: 'large',
    precision: 'mixed',
    format: 'cascade',
    accuracy: { value: 0.93, source: 'declared', sampleSize: 0 },
    artifacts: [],
    cascade: {
      small: small.variant,
      large: 'large-fp32-onnx',
      threshold,
      escalation: { value: 0.5, sampleSize: 0, interval },
    },
    isBatchable: false,
  };
}

describeWithChromium('a cascade between a page and the mesh', (executablePath) => {
  let stateDirectory: string;
  let edge: Edge;
  let token: string;
  let browser: Browser;
  let context: BrowserContext;

  beforeAll(async () => {
    stateDirectory = await mkdtemp(join(tmpdir(), 'nearfar-cascade-'));
    edge = await startEdge({
      port: 0,
      stateDirectory,
      assetsDirectory: here('../../web/dist'),
      manifests: [here('../../models/fashion/manifest.json')],
      log: () => undefined,
    });
    const { coordinator, secret, url } = edge;
    const task = coordinator.tasks().find((entry) => entry.task === 'fashion');
    const small = task?.variants.find(({ variant }) => variant === 'tiny-fp32-onnx');
    if (task === undefined || small === undefined)
      throw new Error('Expected the sample to have a tiny model');
    const cascades = [cascadeOf(small, ALWAYS_SURE, 0.01), cascadeOf(small, NEVER_SURE, 1)];
    await coordinator.register({ ...task, variants: [...task.variants, ...cascades] });
    token = await createToken(secret, { role: 'client', subject: 'cascade-test' });
    const headers = { authorization: `Bearer ${token}` };
    const isReady = async () =>
      (await fetch(`${url}/v2/models/fashion/versions/${NEVER_SURE}/ready`, { headers })).ok;
    await vi.waitUntil(isReady, { timeout: 60_000, interval: 100 });
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
  afterEach(() => context.close());

  const askFor = { sloMs: 10_000, minAccuracy: 0.92 };

  test('runs on the mesh as a whole until the page has its small stage ready, then there', async () => {
    const page = await openDriver(context, edge.url, token, ['ort-wasm']);
    const before = await inferZeros(page, { ...askFor, model: ALWAYS_SURE }, 'fashion');
    expect(before.placement).toMatchObject({ tier: 'edge', variant: ALWAYS_SURE, cascadeStage: 'small' });

    await prepareInPage(page, 'fashion');
    const after = await inferZeros(page, { ...askFor, model: ALWAYS_SURE }, 'fashion');
    expect(after.placement).toMatchObject({
      tier: 'browser',
      variant: ALWAYS_SURE,
      accuracy: 0.93,
      cascadeStage: 'small',
    });
    expect(after.predictions[0]?.label).toBe(before.predictions[0]?.label);
  });

  test('asks the mesh for the large stage about what the small one in the page is not sure of', async () => {
    const page = await openDriver(context, edge.url, token, ['ort-wasm']);
    await prepareInPage(page, 'fashion');
    const alone = await inferZeros(page, { sloMs: 10_000, model: 'large' }, 'fashion');
    const inferencePaths: string[] = [];
    page.on('request', (request) => {
      if (request.url().endsWith('/infer')) inferencePaths.push(new URL(request.url()).pathname);
    });
    const { placement, predictions } = await inferZeros(page, { ...askFor, model: NEVER_SURE }, 'fashion');
    expect(placement).toMatchObject({ tier: 'edge', variant: NEVER_SURE, cascadeStage: 'large' });
    expect(inferencePaths).toEqual(['/v2/models/fashion/versions/large-fp32-onnx/infer']);
    expect(predictions[0]?.label).toBe(alone.predictions[0]?.label);

    const local = inferZeros(page, { ...askFor, model: NEVER_SURE, privacy: 'local_only' }, 'fashion');
    await expect(local).rejects.toThrow(/MESH_NO_FEASIBLE_PLACEMENT: The small stage .* was not sure/);
  });
});
