import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createToken } from '@nearfar/coordinator';
import { type Edge, startEdge } from '@nearfar/edge';
import { BINARY_HEADER, decodeInferResponse, encodeInferRequest, joinBody } from '@nearfar/protocol';
import { systemClock } from '@nearfar/worker';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digitsInputs } from '../../support/worker/digits.ts';

const DIGITS = fileURLToPath(new URL('../../../models/digits/', import.meta.url));

describe('startEdge', () => {
  let stateDirectory: string;
  let edge: Edge;
  let authorization: string;

  beforeAll(async () => {
    stateDirectory = await mkdtemp(join(tmpdir(), 'nearfar-edge-'));
    const manifests = [join(DIGITS, 'manifest.json')];
    edge = await startEdge({ port: 0, stateDirectory, manifests, edgeSlots: 1, log: () => undefined });
    authorization = `Bearer ${await createToken(edge.secret, { role: 'client', subject: 'test' })}`;
    // The one thing here that only time can tell: the mesh says itself when it is ready.
    while (!(await fetch(`${edge.url}/v2/health/ready`)).ok) await systemClock.sleep(50);
  });

  afterAll(async () => {
    await edge.close();
    await edge.close();
    await rm(stateDirectory, { recursive: true });
  });

  test('classifies a picture', async () => {
    const response = await fetch(`${edge.url}/v1/tasks/digits/infer?slo_ms=5000`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'image/png' },
      body: await readFile(join(DIGITS, 'samples/seven.png')),
    });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      predictions: expect.arrayContaining([expect.objectContaining({ label: '7' })]),
      placement: { tier: 'edge', worker: 'edge-1' },
    });
  });

  test('answers a binary inference request with binary tensors', async () => {
    const [input] = await digitsInputs();
    const body = encodeInferRequest({ parameters: { slo_ms: 5_000, binary_data_output: true } }, [
      input ?? fail(),
    ]);
    const response = await fetch(`${edge.url}/v2/models/digits/infer`, {
      method: 'POST',
      headers: {
        authorization,
        'content-type': 'application/octet-stream',
        [BINARY_HEADER]: String(body.headerBytes),
      },
      body: joinBody(body),
    });
    expect(response.status).toBe(200);
    const headerBytes = Number(response.headers.get(BINARY_HEADER));
    const { tensors } = decodeInferResponse(new Uint8Array(await response.arrayBuffer()), headerBytes);
    expect(tensors).toMatchObject([{ name: 'logits', datatype: 'FP32', shape: [1, 10] }]);
  });
});

function fail(): never {
  throw new Error('Expected golden.json to hold a picture');
}
