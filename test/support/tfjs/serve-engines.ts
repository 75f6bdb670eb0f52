import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { build, defaultClientConditions } from 'vite';

/** A page with the SDK's engines and the models that are put beside it, everything compressed with gzip. */
export interface EngineServer {
  readonly url: string;
  /** Serves files under `/<folder>/`. */
  put(folder: string, files: readonly { readonly path: string; readonly bytes: Uint8Array }[]): Promise<void>;
  /** Bytes of the bodies that were sent since the last time, as they went over the wire: compressed. */
  takeSentBytes(): number;
  close(): Promise<void>;
}

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const compress = promisify(gzip);

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};

/** Builds the page as `vite build web` builds the console's, and serves it. */
export async function serveEngines(): Promise<EngineServer> {
  const files = new Map<string, Uint8Array>();
  const put: EngineServer['put'] = async (folder, given) => {
    for (const { path, bytes } of given) files.set(`/${folder}/${path}`, await compress(bytes));
  };
  await putPage(put);
  const require = createRequire(new URL('../../../client-sdk/package.json', import.meta.url));
  const ort = ['ort-wasm-simd-threaded.mjs', 'ort-wasm-simd-threaded.wasm'];
  await put('ort', await readFiles(dirname(require.resolve(`onnxruntime-web/${ort[0]}`)), ort));

  let sentBytes = 0;
  const server = createServer(({ url = '/' }, response) => {
    const path = decodeURIComponent(url === '/' ? '/page/index.html' : url);
    const body = files.get(path);
    if (body === undefined) {
      response.writeHead(404).end();
      return;
    }
    sentBytes += body.length;
    const type = TYPES[extname(path)] ?? 'application/octet-stream';
    response.writeHead(200, { 'content-type': type, 'content-encoding': 'gzip' }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    put,
    takeSentBytes: () => {
      const taken = sentBytes;
      sentBytes = 0;
      return taken;
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function putPage(put: EngineServer['put']): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'nearfar-engines-'));
  try {
    await build({
      root: here('engine-page'),
      base: '/page/',
      logLevel: 'error',
      resolve: { conditions: ['onnxruntime-web-use-extern-wasm', ...defaultClientConditions] },
      worker: { format: 'es' },
      build: { target: 'esnext', outDir: folder, emptyOutDir: true, chunkSizeWarningLimit: 2_000 },
    });
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    const paths = entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    await put(
      'page',
      await readFiles(
        folder,
        paths.map((path) => path.slice(folder.length + 1)),
      ),
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function readFiles(folder: string, paths: readonly string[]) {
  return await Promise.all(paths.map(async (path) => ({ path, bytes: await readFile(join(folder, path)) })));
}
