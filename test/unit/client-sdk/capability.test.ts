import { deviceClassSchema } from '@nearfar/protocol';
import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import {
  type Capability,
  deviceClassOf,
  type Probed,
  probe,
  type WebGpuAdapter,
} from '../../../client-sdk/src/capability.ts';

const LINUX = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0';
const PIXEL = 'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0';
const IPHONE =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)';

/** The `navigator` of a browser on a four-core PC; `requestAdapter` absent = without WebGPU. */
function browser(over: Partial<Probed> & { readonly requestAdapter?: () => Promise<unknown> } = {}): Probed {
  const { requestAdapter, ...rest } = over;
  const gpu = requestAdapter === undefined ? undefined : ({ requestAdapter } as unknown as GPU);
  return { hardwareConcurrency: 4, userAgent: LINUX, gpu, ...rest };
}

const adapter =
  (info: Partial<GPUAdapterInfo>, ...features: string[]) =>
  async () => ({
    info: { vendor: '', architecture: '', isFallbackAdapter: false, ...info },
    features: new Set(features),
  });

function capability(webgpu: WebGpuAdapter | undefined, over: Partial<Capability> = {}): Capability {
  return { webgpu, description: 'test', architecture: 'x64', cores: 4, ...over };
}

describe('probe', () => {
  test.each([
    [1, 1],
    [3, 2],
    [4, 4],
    [7, 4],
    [12, 8],
    [16, 16],
    [128, 16],
    [0, 1],
  ])('%i cores are told as %i', async (hardwareConcurrency, cores) => {
    expect((await probe(browser({ hardwareConcurrency }))).cores).toBe(cores);
  });

  test.each([
    ['a PC', LINUX, 'x64'],
    ['an Android phone', PIXEL, 'arm64'],
    ['an iPhone', IPHONE, 'arm64'],
    ['a Linux board', 'Mozilla/5.0 (X11; Linux aarch64) AppleWebKit/537.36', 'arm64'],
  ])('%s is told by its user agent', async (_, userAgent, architecture) => {
    expect((await probe(browser({ userAgent }))).architecture).toBe(architecture);
  });

  test.each([
    [['shader-f16', 'subgroups'], true],
    [['subgroups'], false],
  ])('an adapter with the features %j computes in half precision: %s', async (features, hasF16) => {
    const found = await probe(browser({ requestAdapter: adapter({}, ...features) }));
    expect(found.webgpu?.hasF16).toBe(hasF16);
  });

  test('an adapter is told by vendor and architecture', async () => {
    const found = await probe(
      browser({ requestAdapter: adapter({ vendor: 'nvidia', architecture: 'ampere' }) }),
    );
    expect(found.webgpu).toEqual({
      vendor: 'nvidia',
      architecture: 'ampere',
      isFallback: false,
      hasF16: false,
    });
    expect(found.description).toBe('nvidia ampere');
  });

  test('a software adapter is named as one', async () => {
    const info = { vendor: 'google', architecture: 'swiftshader', isFallbackAdapter: true };
    const found = await probe(browser({ requestAdapter: adapter(info) }));
    expect(found.webgpu?.isFallback).toBe(true);
    expect(found.description).toBe('google swiftshader (software)');
  });

  test('an adapter without names is one all the same', async () => {
    const found = await probe(browser({ requestAdapter: adapter({}) }));
    expect(found.webgpu).toBeDefined();
    expect(found.description).toBe('unnamed adapter');
  });

  test.each([
    ['a browser without WebGPU', undefined, 'none: this browser has no WebGPU here'],
    ['a browser without an adapter', () => Promise.resolve(null), 'none: no adapter'],
    ['an adapter that fails', () => Promise.reject(new Error('device lost')), 'none: device lost'],
    [
      'a WebGPU that throws',
      () => {
        throw new Error('blocked');
      },
      'none: blocked',
    ],
  ])('%s has no WebGPU, and the description says why', async (_, requestAdapter, description) => {
    const found = await probe(browser(requestAdapter === undefined ? {} : { requestAdapter }));
    expect(found).toMatchObject({ webgpu: undefined, description });
  });
});

describe('device class', () => {
  const swiftshader = { vendor: 'google', architecture: 'swiftshader', isFallback: true, hasF16: false };

  test('names the adapter when the engine computes on WebGPU', () => {
    expect(deviceClassOf(capability(swiftshader), 'tfjs-webgpu')).toBe('webgpu:google-swiftshader');
    expect(deviceClassOf(capability(swiftshader), 'ort-webgpu')).toBe('webgpu:google-swiftshader');
  });

  test('names architecture and cores when it computes on the CPU, or there is no adapter', () => {
    const arm = { architecture: 'arm64', cores: 8 } as const;
    expect(deviceClassOf(capability(swiftshader), 'ort-wasm')).toBe('wasm:x64-4');
    expect(deviceClassOf(capability(undefined, arm), 'tfjs-webgpu')).toBe('wasm:arm64-8');
  });

  test('an adapter without names is unknown', () => {
    const nameless = { vendor: '', architecture: '', isFallback: false, hasF16: false };
    expect(deviceClassOf(capability(nameless), 'tfjs-webgpu')).toBe('webgpu:unknown');
  });

  test('is one that the mesh takes, whatever the browser calls its adapter', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ maxLength: 200 }), (vendor, architecture) => {
        const found = deviceClassOf(
          capability({ vendor, architecture, isFallback: false, hasF16: false }),
          'tfjs-webgpu',
        );
        expect(v.is(deviceClassSchema, found)).toBe(true);
      }),
    );
  });
});
