import { Worker } from 'node:worker_threads';
import { type ErrorBody, MeshError, type Tensor } from '@nearfar/protocol';
import type { PictureReader } from '../../options.ts';
import type { PictureTask } from './picture-worker.ts';

/** Pictures that may wait; more are refused with `MESH_QUEUE_FULL`. */
const MAX_WAITING = 64;
/** A picture that takes longer than this many milliseconds is given up together with its thread. */
const MAX_DECODE_MS = 20_000;

interface Waiting {
  readonly resolve: (tensor: Tensor) => void;
  readonly reject: (error: unknown) => void;
}

type Reply = { readonly id: number } & ({ readonly tensor: Tensor } | { readonly error: ErrorBody });

/** Reads pictures in one worker thread, which starts with the first picture and again after a crash. */
export function createPictureThread(): PictureReader {
  const waiting = new Map<number, Waiting>();
  let thread: Worker | undefined;
  let nextId = 0;
  let isClosed = false;

  const fail = (error: MeshError) => {
    thread = undefined;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  const start = () => {
    const started = new Worker(new URL('./picture-worker.ts', import.meta.url));
    started.unref();
    started.on('message', (reply: Reply) => {
      const entry = waiting.get(reply.id);
      waiting.delete(reply.id);
      if ('tensor' in reply) entry?.resolve(reply.tensor);
      else entry?.reject(MeshError.fromBody(reply.error));
    });
    started.on('error', (cause) =>
      fail(new MeshError('MESH_INTERNAL', 'The picture reader crashed', { cause })),
    );
    return started;
  };
  return {
    toTensor: async (body, contentType, rule, signal) => {
      signal?.throwIfAborted();
      if (isClosed) throw new MeshError('MESH_DRAINING', 'The mesh is shutting down');
      if (waiting.size >= MAX_WAITING) {
        throw new MeshError('MESH_QUEUE_FULL', `All ${MAX_WAITING} places of the picture reader are taken`);
      }
      thread ??= start();
      nextId += 1;
      const id = nextId;
      const { promise, resolve, reject } = Promise.withResolvers<Tensor>();
      waiting.set(id, { resolve, reject });
      const onAbort = () => reject(signal?.reason);
      signal?.addEventListener('abort', onAbort, { once: true });
      const timer = setTimeout(() => {
        const stuck = thread;
        fail(new MeshError('MESH_BAD_MEDIA', `The picture was not decoded within ${MAX_DECODE_MS} ms`));
        void stuck?.terminate();
      }, MAX_DECODE_MS);
      try {
        const task: PictureTask = { id, body, contentType, rule };
        thread.postMessage(task);
        return await promise;
      } finally {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        waiting.delete(id);
      }
    },
    close: async () => {
      isClosed = true;
      const stopped = thread;
      fail(new MeshError('MESH_DRAINING', 'The mesh is shutting down'));
      await stopped?.terminate();
    },
  };
}
