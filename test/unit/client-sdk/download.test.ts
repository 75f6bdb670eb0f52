import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { createApi } from '../../../client-sdk/src/api.ts';
import { download } from '../../../client-sdk/src/download.ts';
import { artifactOf } from './builders.ts';

const servers: Server[] = [];

afterEach(async () => {
  await Promise.all(
    servers.splice(0).map((server) => {
      server.closeAllConnections();
      return new Promise((closed) => server.close(closed));
    }),
  );
});

/** 200 000 bytes that compress well. */
const FILE = Uint8Array.from({ length: 200_000 }, (_, index) => (index >> 8) ^ (index % 7));
const artifact = artifactOf(FILE);

/** A mesh on a real socket that sends the file as `answer` does; keeps the headers that it was asked with. */
async function meshThat(answer: (request: IncomingMessage, response: ServerResponse, call: number) => void) {
  const asked: IncomingMessage['headers'][] = [];
  const server = createServer((request, response) => {
    asked.push(request.headers);
    answer(request, response, asked.length);
  });
  servers.push(server);
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as AddressInfo;
  const loaded: number[] = [];
  const first = Promise.withResolvers<void>();
  const signal = new AbortController().signal;
  const api = createApi(`http://127.0.0.1:${port}`, '');
  const get = () =>
    download(api, artifact, signal, (loadedBytes) => {
      loaded.push(loadedBytes);
      if (loadedBytes > 0) first.resolve();
    });
  return { asked, loaded, get, whenLoading: first.promise };
}

/** Where a `Range` begins. */
const startOf = ({ headers }: IncomingMessage) =>
  Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);

/** Answers with the rest of the file, as a mesh that knows ranges does. */
function sendRest(request: IncomingMessage, response: ServerResponse): void {
  const start = startOf(request);
  response.writeHead(start > 0 ? 206 : 200);
  response.end(FILE.subarray(start));
}

/** Sends the first `bytes` of `body`, then breaks the connection. */
function breakOff(response: ServerResponse, body: Uint8Array, bytes: number, status = 200): void {
  response.writeHead(status, { ...response.getHeaders(), 'Content-Length': body.byteLength });
  response.write(body.subarray(0, bytes), () => setImmediate(() => response.destroy()));
}

describe('a download', () => {
  test.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
  ])('that comes compressed by %s counts the bytes of the file', async (encoding, compress) => {
    const { get, loaded } = await meshThat((_, response) => {
      response.writeHead(200, { 'Content-Encoding': encoding });
      response.end(compress(FILE));
    });
    expect(await get()).toEqual(FILE);
    expect(loaded.at(-1)).toBe(FILE.byteLength);
    expect(loaded).toEqual(loaded.toSorted((a, b) => a - b));
  });

  test('that breaks off goes on where it stopped', async () => {
    const { get, asked, loaded } = await meshThat((request, response, call) => {
      if (call === 1) breakOff(response, FILE, 150_000);
      else sendRest(request, response);
    });
    expect(await get()).toEqual(FILE);
    expect(asked).toHaveLength(2);
    expect(asked[1]?.range).toMatch(/^bytes=[1-9]\d*-$/);
    expect(loaded).toEqual(loaded.toSorted((a, b) => a - b));
  });

  test('that came compressed goes on uncompressed, after the bytes that it had become', async () => {
    const mesh = await meshThat((request, response, call) => {
      if (call > 1) return sendRest(request, response);
      const compressed = gzipSync(FILE, { level: 0 });
      response.writeHead(200, { 'Content-Encoding': 'gzip', 'Content-Length': compressed.byteLength });
      response.write(compressed.subarray(0, 120_000));
      // What the page has not unpacked when the connection ends is lost to it.
      void mesh.whenLoading.then(() => response.destroy());
    });
    const { asked } = mesh;
    expect(await mesh.get()).toEqual(FILE);
    expect(asked[1]).toMatchObject({ range: expect.stringMatching(/^bytes=[1-9]/) });
    expect(asked[1]?.['accept-encoding']).toContain('identity');
  });

  test('begins again where the mesh does not know ranges, without progress going backwards', async () => {
    const { get, loaded } = await meshThat((_, response, call) => {
      if (call === 1) breakOff(response, FILE, 100_000);
      else response.end(FILE);
    });
    expect(await get()).toEqual(FILE);
    expect(loaded).toEqual(loaded.toSorted((a, b) => a - b));
    expect(loaded.at(-1)).toBe(FILE.byteLength);
  });

  test('that breaks off often arrives as long as each part brings something', async () => {
    const { get, asked } = await meshThat((request, response) => {
      const start = startOf(request);
      const rest = FILE.subarray(start);
      const status = start > 0 ? 206 : 200;
      if (rest.byteLength <= 50_000) sendRest(request, response);
      else breakOff(response, rest, 50_000, status);
    });
    expect(await get()).toEqual(FILE);
    expect(asked.length).toBeGreaterThan(2);
  });

  test('that brings nothing more is given up', async () => {
    const { get, asked } = await meshThat((_, response, call) => {
      if (call === 1) breakOff(response, FILE, 100_000);
      else breakOff(response, FILE, 0, 206);
    });
    await expect(get()).rejects.toMatchObject({ code: 'MESH_NETWORK' });
    expect(asked).toHaveLength(3);
  });

  test('that decompresses to more than was announced is corrupt', async () => {
    const { get } = await meshThat((_, response) => {
      response.writeHead(200, { 'Content-Encoding': 'gzip' });
      response.end(gzipSync(new Uint8Array(FILE.byteLength + 1)));
    });
    await expect(get()).rejects.toMatchObject({ code: 'MESH_ARTIFACT_CORRUPT' });
  });
});
