import { availableParallelism } from 'node:os';
import type { Tensor } from '@nearfar/protocol';
import { EngineThread, type ThreadTensor } from '@nearfar/worker';
import type { VariantRunner } from './variant-runner.ts';

const SESSION = 'tried';
/** More lanes than this would each hold a copy of the model and gain little. */
const MAX_LANES = 8;

/** Runs variants in engine threads, a lane for each core. */
export function createEngineRunner(): VariantRunner {
  return {
    load: async ({ format, files, inputs, outputs }) => {
      const source = {
        format,
        files: files.map(({ path, bytes }) => ({ path, bytes: shared(bytes) })),
        inputs,
        outputs,
      };
      const lanes = Math.min(MAX_LANES, availableParallelism());
      const threads = Array.from(
        { length: lanes },
        () => new EngineThread({ provider: 'cpu', threadsPerSession: 1 }),
      );
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

/** A tensor that may be handed over to a thread: rows are asked for again, and often are views of something larger. */
function owned({ data, ...facts }: Tensor): ThreadTensor {
  return { ...facts, data: data.slice() as Uint8Array<ArrayBuffer> };
}

function shared(bytes: Uint8Array): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(bytes.byteLength);
  new Uint8Array(buffer).set(bytes);
  return buffer;
}
