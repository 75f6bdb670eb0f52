import { expect, test, vi } from 'vitest';
import { createOrtEngine } from '../../../client-sdk/src/engine/ort-web.ts';
import { variantSpec } from './builders.ts';

const { log } = vi.hoisted(() => ({ log: [] as string[] }));

// The library's own sessions need a browser's wasm; here only when they are made and released matters.
vi.mock('onnxruntime-web/wasm', () => ({
  env: { wasm: {} },
  InferenceSession: {
    create: async ([name]: Uint8Array) => {
      log.push(`create ${name}`);
      return { release: async () => void log.push(`release ${name}`) };
    },
  },
}));

test('loading under a name that is taken releases the session that had it, once the new one is there', async () => {
  const engine = await createOrtEngine({ engine: 'ort-wasm', assetBase: undefined });
  const model = (byte: number) => ({
    spec: variantSpec(),
    files: [{ path: 'tiny.onnx', bytes: Uint8Array.of(byte) }],
  });
  await engine.load('a', model(1));
  await engine.load('a', model(2));
  await engine.unload('a');
  expect(log).toEqual(['create 1', 'create 2', 'release 1', 'release 2']);
});
