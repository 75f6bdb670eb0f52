import { platform } from 'node:os';
import { type Device, MeshError } from '@nearfar/protocol';
import { describeDevice, gpuDeviceNodes } from './device-class.ts';
import type { Provider } from './engine-messages.ts';
import type { EngineThread } from './engine-thread.ts';

/** A GPU slower than this many times the CPU on the probe is taken for a software adapter. */
const SOFTWARE_FACTOR = 3;

/** What the detection needs from the world; the real one is `systemHost`. */
export interface DetectionHost {
  /** GPU device files, or undefined on a system that has none by nature (macOS, Windows). */
  readonly gpuDeviceNodes: readonly string[] | undefined;
  readonly describe: (provider: Provider) => Device;
}

export interface Detection {
  readonly device: Device;
  readonly provider: Provider;
  /** One sentence for each attempt, in order. */
  readonly findings: readonly string[];
}

/** The machine that this process runs on. */
export function systemHost(threadsPerSession: number): DetectionHost {
  return {
    gpuDeviceNodes: platform() === 'linux' ? gpuDeviceNodes() : undefined,
    describe: (provider) => describeDevice(provider, threadsPerSession),
  };
}

/**
 * Chooses what to run on. `auto` tries CUDA, then WebGPU (passing over software adapters), then the CPU, each by really
 * running a session of a small model. A device that is asked for by name is used if it runs at all, even in software.
 *
 * @throws MeshError `MESH_DEVICE_UNAVAILABLE`, listing what was found.
 */
export async function detectDevice(
  wanted: 'auto' | Provider,
  probe: EngineThread['probe'],
  host: DetectionHost,
): Promise<Detection> {
  const findings: string[] = [];
  const found = (provider: Provider): Detection => ({ provider, device: host.describe(provider), findings });

  if (wanted !== 'auto') {
    const runMs = await attempt(wanted, probe, findings);
    if (runMs !== undefined) return found(wanted);
    throw unavailable(findings);
  }
  const cudaMs = await attempt('cuda', probe, findings);
  if (cudaMs !== undefined) return found('cuda');

  const cpuFindings: string[] = [];
  const cpuMs = await attempt('cpu', probe, cpuFindings);
  if (await isWebgpuFast(probe, host, cpuMs, findings)) return found('webgpu');

  findings.push(...cpuFindings);
  if (cpuMs !== undefined) return found('cpu');
  throw unavailable(findings);
}

async function isWebgpuFast(
  probe: EngineThread['probe'],
  host: DetectionHost,
  cpuMs: number | undefined,
  findings: string[],
): Promise<boolean> {
  if (host.gpuDeviceNodes?.length === 0) {
    findings.push(
      'webgpu: passed over, there is no GPU device (/dev/dri/renderD*, /dev/nvidia0 or /dev/dxg), so an adapter could only be software',
    );
    return false;
  }
  const webgpuMs = await attempt('webgpu', probe, findings);
  if (webgpuMs === undefined) return false;
  if (cpuMs === undefined || webgpuMs <= SOFTWARE_FACTOR * cpuMs) return true;
  findings.push(
    `webgpu: passed over as a software adapter, ${(webgpuMs / cpuMs).toFixed(1)} times slower than the CPU on the probe`,
  );
  return false;
}

/** Milliseconds of the probe, or undefined when the provider does not run. */
async function attempt(
  provider: Provider,
  probe: EngineThread['probe'],
  findings: string[],
): Promise<number | undefined> {
  try {
    const { runMs } = await probe(provider);
    findings.push(`${provider}: ran the probe in ${runMs.toFixed(2)} ms`);
    return runMs;
  } catch (error) {
    const [reason] = (error as Error).message.trim().split('\n').slice(-1);
    findings.push(`${provider}: not available (${reason})`);
    return undefined;
  }
}

function unavailable(findings: readonly string[]): MeshError {
  return new MeshError('MESH_DEVICE_UNAVAILABLE', `No device to run on: ${findings.join('; ')}`, {
    details: { findings },
  });
}
