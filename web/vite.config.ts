import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { defaultClientConditions, defineConfig, type Plugin } from 'vite';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Finds packages as the SDK finds them, so that the copied files are of its version. */
const sdkRequire = createRequire(here('../client-sdk/package.json'));

/** The parts of onnxruntime-web that the SDK fetches by itself, from `assetBase`. */
const ORT_FILES = [
  'ort-wasm-simd-threaded.mjs',
  'ort-wasm-simd-threaded.wasm',
  'ort-wasm-simd-threaded.asyncify.mjs',
  'ort-wasm-simd-threaded.asyncify.wasm',
];

function copyOrtFiles(): Plugin {
  return {
    name: 'nearfar:copy-ort-files',
    apply: 'build',
    generateBundle() {
      for (const file of ORT_FILES) {
        const source = readFileSync(sdkRequire.resolve(`onnxruntime-web/${file}`));
        this.emitFile({ type: 'asset', fileName: `assets/ort/${file}`, source });
      }
    },
  };
}

const MESH = 'http://127.0.0.1:8787';

export default defineConfig({
  root: here('.'),
  base: '/',
  plugins: [copyOrtFiles()],
  // Without this condition onnxruntime-web brings a second copy of its wasm into the bundle.
  resolve: { conditions: ['onnxruntime-web-use-extern-wasm', ...defaultClientConditions] },
  worker: { format: 'es' },
  build: {
    target: 'esnext',
    emptyOutDir: true,
    chunkSizeWarningLimit: 2_000,
    rolldownOptions: {
      input: {
        console: here('index.html'),
        demo: here('demo/index.html'),
        driver: here('driver/index.html'),
      },
    },
  },
  server: { proxy: { '/v1': { target: MESH, ws: true }, '/v2': MESH } },
});
