import type { EngineName } from './types.ts';

/** What was found of this device. */
export interface Capability {
  /** Undefined = the browser has no WebGPU adapter. */
  readonly webgpu: WebGpuAdapter | undefined;
  /** What was found of WebGPU, for people. */
  readonly description: string;
  /** Processor architecture, as far as the browser tells. */
  readonly architecture: 'x64' | 'arm64';
  readonly cores: number;
}

/** A WebGPU adapter by the names that browsers give without a permission. */
export interface WebGpuAdapter {
  readonly vendor: string;
  readonly architecture: string;
  /** A software adapter: correct, but slow. */
  readonly isFallback: boolean;
  /** Whether its shaders compute in half precision (the feature `shader-f16`). */
  readonly hasF16: boolean;
}

/** Cores are told in these steps only, so that a device class says little about a visitor. */
const CORE_STEPS = [1, 2, 4, 8, 16] as const;

/** The part of `navigator` that is looked at. */
export type Probed = Pick<Navigator, 'hardwareConcurrency' | 'userAgent'> & {
  readonly gpu?: GPU | undefined;
};

/** Looks at the device. Never rejects: a WebGPU that fails is a WebGPU that is not there. */
export async function probe(source: Probed): Promise<Capability> {
  const cores = CORE_STEPS.findLast((step) => step <= (source.hardwareConcurrency || 1)) ?? 1;
  const architecture = /\b(arm64|aarch64|arm|iphone|ipad|android)\b/i.test(source.userAgent)
    ? 'arm64'
    : 'x64';
  const found = await probeWebGpu(source.gpu);
  return { ...found, architecture, cores };
}

async function probeWebGpu(gpu: GPU | undefined): Promise<Pick<Capability, 'webgpu' | 'description'>> {
  if (gpu === undefined) return { webgpu: undefined, description: 'none: this browser has no WebGPU here' };
  try {
    const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
    if (adapter === null) return { webgpu: undefined, description: 'none: no adapter' };
    const { vendor, architecture, isFallbackAdapter: isFallback } = adapter.info;
    const name = [vendor, architecture].filter((part) => part !== '').join(' ') || 'unnamed adapter';
    return {
      webgpu: { vendor, architecture, isFallback, hasF16: adapter.features.has('shader-f16') },
      description: isFallback ? `${name} (software)` : name,
    };
  } catch (error) {
    return { webgpu: undefined, description: `none: ${error instanceof Error ? error.message : error}` };
  }
}

/** Whether the engine computes on WebGPU. */
export function isOnWebGpu(engine: EngineName): boolean {
  return engine !== 'ort-wasm';
}

/** The class of this device when it computes by `engine`: devices of one class share their profiles. */
export function deviceClassOf(capability: Capability, engine: EngineName): string {
  if (!isOnWebGpu(engine) || capability.webgpu === undefined) {
    return `wasm:${capability.architecture}-${capability.cores}`;
  }
  const { vendor, architecture } = capability.webgpu;
  const name = `${vendor}-${architecture}`.toLowerCase().replace(/[^a-z0-9._]+/g, '-');
  return `webgpu:${name.replace(/^[-._]+|[-._]+$/g, '').slice(0, 64) || 'unknown'}`;
}
