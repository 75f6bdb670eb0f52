import { fileURLToPath } from 'node:url';
import { createToken } from '@nearfar/coordinator';
import { Sketch } from '@nearfar/core';
import { Miniflare } from 'miniflare';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const ENTRY = fileURLToPath(new URL('../support/coordinator/workerd-main.ts', import.meta.url));

describe('the coordinator in workerd', () => {
  let workerd: Miniflare;
  let url: URL;
  let headers: Record<string, string>;

  beforeAll(async () => {
    workerd = new Miniflare({
      modules: true,
      script: await bundle(),
      compatibilityDate: '2026-01-01',
    });
    url = await workerd.ready;
    const token = await createToken(new Uint8Array(32).fill(7), { role: 'client', subject: 'test' });
    headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
  });
  afterAll(async () => {
    await workerd?.dispose();
  });

  const get = (path: string) => fetch(new URL(path, url), { headers });
  const post = (path: string, body: unknown) =>
    fetch(new URL(path, url), { method: 'POST', headers, body: JSON.stringify(body) });

  test('is live, and not ready while no worker serves', async () => {
    expect((await fetch(new URL('/v2/health/live', url))).status).toBe(200);
    expect((await fetch(new URL('/v2/health/ready', url))).status).toBe(503);
  });

  test('gives metadata to who shows a token', async () => {
    expect((await fetch(new URL('/v2/models/sample', url))).status).toBe(401);
    expect(await (await get('/v2/models/sample')).json()).toMatchObject({
      name: 'sample',
      versions: ['tiny-fp32-onnx'],
      inputs: [{ name: 'image', datatype: 'FP32', shape: [-1, 1, 2, 2] }],
    });
  });

  test('places a request in the page whose class it has a profile of, and explains it', async () => {
    const sketch = new Sketch();
    for (let run = 0; run < 40; run += 1) sketch.add(5 + (run % 3));
    const profile = {
      task: 'sample',
      variant: 'tiny-fp32-onnx',
      revision: 1,
      deviceClass: 'wasm:x64-2',
      batch: 1,
      epoch: 'first',
      version: 1,
      computeMs: sketch.toData(),
    };
    const learned = await post('/v1/outcomes', { outcomes: [], profiles: [profile] });
    expect(await learned.json()).toMatchObject({ outcomes: 0, profiles: 1 });

    const answer = await post('/v1/placements', {
      task: 'sample',
      payloadBytes: 3_136,
      parameters: { slo_ms: 100, privacy: 'local_only' },
      device: { deviceClass: 'wasm:x64-2', ready: [{ variant: 'tiny-fp32-onnx', revision: 1 }] },
    });
    expect(answer.status).toBe(200);
    const { placement, lease } = (await answer.json()) as {
      placement: { tier: string; decision_id: string };
      lease: { ttlMs: number; profiles: unknown[] };
    };
    expect(placement.tier).toBe('browser');
    expect(lease.ttlMs).toBeGreaterThan(0);
    expect(lease.profiles).toHaveLength(1);

    const decision = await get(`/v1/decisions/${placement.decision_id}`);
    expect(await decision.json()).toMatchObject({
      task: 'sample',
      candidates: [{ tier: 'browser', verdict: 'chosen', reasons: [] }],
    });
    expect(await (await get('/v1/decisions?limit=5')).json()).toMatchObject({
      decisions: [{ id: placement.decision_id }],
    });
  });
});

async function bundle(): Promise<string> {
  const built = await build({
    configFile: false,
    logLevel: 'error',
    build: {
      write: false,
      minify: false,
      target: 'es2024',
      lib: { entry: ENTRY, formats: ['es'], fileName: 'main' },
      rolldownOptions: { output: { codeSplitting: false } },
    },
  });
  const [output] = Array.isArray(built) ? built : [built];
  const chunk = output !== undefined && 'output' in output ? output.output[0] : undefined;
  if (chunk === undefined) throw new Error('Expected one chunk');
  return chunk.code;
}
