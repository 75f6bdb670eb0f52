import { createHash, randomBytes } from 'node:crypto';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { arrayBuffer } from 'node:stream/consumers';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { createToken } from '@nearfar/coordinator';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestMesh } from '../../support/coordinator/test-mesh.ts';

let mesh: TestMesh;
beforeAll(async () => {
  mesh = await TestMesh.start();
});
afterAll(() => mesh.close());

const TEXT = new TextEncoder().encode('a model of many words, '.repeat(2_000));

function addressOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function put(bytes: Uint8Array<ArrayBuffer>, sha256 = addressOf(bytes)) {
  return await mesh.json(`/v1/artifacts/${sha256}`, { method: 'PUT', body: bytes });
}

/** A request whose answer is not unpacked on the way, as `fetch` would do. */
async function get(sha256: string, headers: Record<string, string>, method = 'GET') {
  const token = await createToken(mesh.secret, { role: 'client', subject: 'raw' });
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const url = `${mesh.url}/v1/artifacts/${sha256}`;
  httpRequest(url, { method, headers: { Authorization: `Bearer ${token}`, ...headers } }, resolve)
    .on('error', reject)
    .end();
  const answer = await promise;
  const body = new Uint8Array(await arrayBuffer(answer));
  return { status: answer.statusCode, headers: answer.headers, body };
}

describe('sending files', () => {
  test('keeps one under its hash, and says whether it was there', async () => {
    const bytes = new Uint8Array(randomBytes(3_000_000));
    const sha256 = addressOf(bytes);
    expect((await mesh.call(`/v1/artifacts/${sha256}`, { method: 'HEAD' })).status).toBe(404);
    expect(await put(bytes)).toEqual([201, { sha256, sizeBytes: 3_000_000 }]);
    const head = await mesh.call(`/v1/artifacts/${sha256}`, { method: 'HEAD' }, 'client');
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '3000000']);
    expect(await put(bytes)).toEqual([200, { sha256, sizeBytes: 3_000_000 }]);
    expect(addressOf((await get(sha256, {})).body)).toBe(sha256);
  });

  test('refuses what is not what its address says, and keeps nothing of it', async () => {
    const sha256 = addressOf(new Uint8Array(9));
    expect(await put(new Uint8Array(10), sha256)).toMatchObject([400, { code: 'MESH_BAD_REQUEST' }]);
    expect(await put(new Uint8Array(10), 'no-hash')).toMatchObject([400, { code: 'MESH_BAD_REQUEST' }]);
    expect(await mesh.coordinator.artifacts.sizeOf(sha256)).toBeUndefined();
  });

  test('refuses more than an artifact may have before it is sent', async () => {
    const token = await createToken(mesh.secret, { role: 'admin', subject: 'raw' });
    const { promise, resolve } = Promise.withResolvers<IncomingMessage>();
    const headers = { Authorization: `Bearer ${token}`, 'Content-Length': String(2 ** 40) };
    const sending = httpRequest(
      `${mesh.url}/v1/artifacts/${'0'.repeat(64)}`,
      { method: 'PUT', headers },
      resolve,
    );
    sending.on('error', () => undefined);
    sending.write('x');
    expect((await promise).statusCode).toBe(413);
    sending.destroy();
  });

  test('a sender that goes away leaves nothing behind', async () => {
    const bytes = new Uint8Array(randomBytes(1_000));
    const token = await createToken(mesh.secret, { role: 'admin', subject: 'raw' });
    const headers = { Authorization: `Bearer ${token}`, 'Content-Length': '1000' };
    const url = `${mesh.url}/v1/artifacts/${addressOf(bytes)}`;
    const sending = httpRequest(url, { method: 'PUT', headers });
    sending.on('error', () => undefined);
    const { promise, resolve } = Promise.withResolvers<void>();
    sending.write(bytes.subarray(0, 500), () => resolve());
    await promise;
    sending.destroy();
    expect(await put(bytes)).toMatchObject([201, { sizeBytes: 1_000 }]);
  });
});

describe('getting files', () => {
  test.each([
    ['br', 'gzip, deflate, br', brotliDecompressSync],
    ['gzip', 'gzip;q=0.5, br;q=0', gunzipSync],
  ] as const)('packs one as %s for who can unpack it', async (encoding, accept, unpack) => {
    const { sha256 } = await mesh.coordinator.artifacts.write(TEXT);
    const { status, headers, body } = await get(sha256, { 'Accept-Encoding': accept });
    expect([status, headers['content-encoding'], headers.vary]).toEqual([
      200,
      encoding,
      expect.stringContaining('Accept-Encoding'),
    ]);
    expect(Number(headers['content-length'])).toBe(body.byteLength);
    expect(body.byteLength).toBeLessThan(TEXT.byteLength / 10);
    expect(new Uint8Array(unpack(body))).toEqual(TEXT);
    expect(headers.etag).toBe(`"${sha256}-${encoding}"`);
    const again = { 'Accept-Encoding': accept, 'If-None-Match': `"other", W/${headers.etag}` };
    expect((await get(sha256, again)).status).toBe(304);
    expect((await get(sha256, { 'If-None-Match': headers.etag ?? '' })).status).toBe(200);
    const head = await get(sha256, { 'Accept-Encoding': accept }, 'HEAD');
    const { 'content-length': length, 'content-encoding': packing } = head.headers;
    expect([length, packing, head.body.byteLength]).toEqual([String(TEXT.byteLength), undefined, 0]);
  });

  test('is spared who has one in any form that he can use', async () => {
    const { sha256 } = await mesh.coordinator.artifacts.write(TEXT);
    const plain = await get(sha256, { 'Accept-Encoding': 'br', 'If-None-Match': `"${sha256}"` });
    expect([plain.status, plain.headers.etag, plain.body.byteLength]).toEqual([304, `"${sha256}"`, 0]);
    expect((await get(sha256, { 'If-None-Match': '*' })).status).toBe(304);
    expect((await get(sha256, { 'If-None-Match': `"${sha256}-br"` })).status).toBe(200);
  });

  test('asks HEAD about the whole file, whatever range is named', async () => {
    const { sha256 } = await mesh.coordinator.artifacts.write(TEXT);
    const head = await get(sha256, { Range: 'bytes=2-6' }, 'HEAD');
    const { 'content-range': range, 'content-length': length } = head.headers;
    expect([head.status, range, length]).toEqual([200, undefined, String(TEXT.byteLength)]);
  });

  test('a range is always of the file as it is', async () => {
    const { sha256 } = await mesh.coordinator.artifacts.write(TEXT);
    const accept = { 'Accept-Encoding': 'br' };
    const part = await get(sha256, { ...accept, Range: 'bytes=2-6' });
    expect([part.status, part.headers['content-encoding'], new TextDecoder().decode(part.body)]).toEqual([
      206,
      undefined,
      'model',
    ]);
    expect([part.headers.etag, part.headers.vary]).toEqual([
      `"${sha256}"`,
      expect.stringContaining('Accept-Encoding'),
    ]);
    const stale = await get(sha256, { ...accept, Range: 'bytes=2-6', 'If-Range': `"${sha256}-br"` });
    expect([stale.status, stale.headers['content-encoding']]).toEqual([200, 'br']);
  });

  test('gives what does not shrink as it is, to who says nothing as well', async () => {
    const noise = await mesh.coordinator.artifacts.write(randomBytes(20_000));
    expect(
      (await get(noise.sha256, { 'Accept-Encoding': 'br' })).headers['content-encoding'],
    ).toBeUndefined();
    const { sha256 } = await mesh.coordinator.artifacts.write(TEXT);
    for (const headers of [{}, { 'Accept-Encoding': 'identity, *;q=0' }]) {
      const plain = await get(sha256, headers);
      expect([plain.headers['content-encoding'], plain.body]).toEqual([undefined, TEXT]);
    }
  });
});
