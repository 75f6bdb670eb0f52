import { availableParallelism } from 'node:os';
import type { Tensor } from '@nearfar/protocol';
import { EngineThread, type ThreadTensor } from '@nearfar/worker';
import type { VariantRunner } from './variant-runner.ts';

const SESSION = 'tried';
/** More lanes than this would each hold a copy of the model and gain little. */
const MAX_LANES = 8;
/** Bytes of model files in all lanes together; a runtime needs about as much again for what it makes of them. */
const MAX_LOADED_BYTES = 1024 * 1024 * 1024;
/** A run of a whole batch, on one core and below the priority of what serves, may take this long. */
const RUN_WITHIN_MS = 5 * 60_000;

/** Runs variants in engine threads: a lane for each core or, of large models, fewer lanes on several cores each. */
export function createEngineRunner(): VariantRunner {
  return {
    load: async ({ format, files, inputs, outputs }) => {
      const source = {
        format,
        files: files.map(({ path, bytes }) => ({ path, bytes: shared(bytes) })),
        inputs,
        outputs,
      };
      const cores = availableParallelism();
      const lanes = lanesOf(
        files.reduce((sum, { bytes }) => sum + bytes.byteLength, 0),
        cores,
      );
      const options = {
        provider: 'cpu',
        threadsPerSession: Math.floor(cores / lanes),
        runTimeoutMs: RUN_WITHIN_MS,
      } as const;
      const threads = Array.from({ length: lanes }, () => new EngineThread(options));
      const close = async () => {
        await Promise.all(threads.map((thread) => thread.close()));
      };
      try {
        await Promise.all(threads.map((thread) => thread.load(SESSION, source)));
      } catch (error) {
        await close();
        throw error;
      }
      return {
        lanes,
        run: async (lane, tensors) => {
          const thread = threads[lane];
          if (thread === undefined)
            throw new RangeError(`Expected lane to be from 0 to ${lanes - 1}, got ${lane}`);
          return (await thread.run(SESSION, tensors.map(owned))).tensors;
        },
        close,
      };
    },
  };
}

/** Copies of a model of so many bytes that run beside each other, at least one. */
export function lanesOf(modelBytes: number, cores: number): number {
  const most = Math.floor(MAX_LOADED_BYTES / Math.max(1, modelBytes));
  return Math.max(1, Math.min(MAX_LANES, cores, most));
}

/** A tensor that may be handed over to a thread: rows are asked for again, and often are views of something larger. */
function owned({ data, ...facts }: Tensor): ThreadTensor {
  return { ...facts, data: data.slice() as Uint8Array<ArrayBuffer> };
}

function shared(bytes: Uint8Array): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(bytes.byteLength);
  new Uint8Array(buffer).set(bytes);
  return buffer;
}
