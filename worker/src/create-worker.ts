import { availableParallelism } from 'node:os';
import { detectDevice, systemHost } from './detect-device.ts';
import type { Engine } from './engine.ts';
import type { EngineThreadData, Provider } from './engine-messages.ts';
import { EngineThread } from './engine-thread.ts';
import { MeshWorker, type MeshWorkerOptions, type Worker } from './mesh-worker.ts';
import { SessionThreads } from './session-threads.ts';

export interface WorkerOptions extends MeshWorkerOptions {
  /** What to run on; `auto` takes the first of CUDA, WebGPU and CPU that really runs. */
  readonly device: 'auto' | Provider;
  /** Batches that run at the same time; default one less than the cores (a GPU: 1), at least 1. */
  readonly slots?: number;
}

/**
 * Starts a worker: finds its device and makes one engine a slot.
 *
 * @throws MeshError `MESH_DEVICE_UNAVAILABLE`.
 */
export async function createWorker(options: WorkerOptions): Promise<Worker> {
  const threadsPerSession = 1;
  const scout = new EngineThread({ provider: 'cpu', threadsPerSession });
  try {
    const host = systemHost(threadsPerSession);
    const detection = await detectDevice(options.device, (provider) => scout.probe(provider), host);
    const { provider, device, findings } = detection;
    const cpuSlots = Math.max(1, availableParallelism() - 1);
    const slots = options.slots ?? (provider === 'cpu' ? cpuSlots : 1);
    if (!Number.isInteger(slots) || slots < 1 || slots > 256) {
      throw new RangeError(`Expected slots to be an integer from 1 to 256, got ${slots}`);
    }
    if (provider === 'webgpu' && slots !== 1) {
      throw new RangeError(
        `Expected slots to be 1 on WebGPU, whose device no two threads may use, got ${slots}`,
      );
    }
    const engines = Array.from({ length: slots }, () => createEngine({ provider, threadsPerSession }));
    return new MeshWorker(options, { device, findings, engines });
  } finally {
    await scout.close();
  }
}

/**
 * The engine of one slot: a thread for each session, so that loading and measuring one never holds up another. On WebGPU all
 * sessions share one thread, because the process has one device there, which two threads must not use.
 */
function createEngine(options: EngineThreadData): Engine {
  return options.provider === 'webgpu' ? new EngineThread(options) : new SessionThreads(options);
}
