import { Worker } from 'node:worker_threads';
import { MeshError, type Tensor } from '@nearfar/protocol';
import type { PictureReader } from '../../options.ts';
import type { PictureReply, PictureTask } from './picture-worker.ts';

/** Pictures that may wait for the thread; more are refused with `MESH_QUEUE_FULL`. */
const MAX_WAITING = 64;

/** Options of the reader. */
export interface PictureThreadOptions {
  /**
   * Milliseconds that one picture may take, counted from when the thread gets it (default 20,000). One that takes
   * longer is given up together with the thread.
   */
  readonly decodeWithinMs?: number;
}

interface Job {
  readonly task: PictureTask;
  readonly resolve: (tensor: Tensor) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Reads pictures in one worker thread, one at a time, in the order of the calls. The thread starts at once, so that the
 * first picture finds it ready, and again after it crashed or was stuck; only the picture that it had fails then.
 *
 * A picture whose signal aborts while it waits is never decoded; one that the thread already has is decoded in vain.
 */
export function createPictureThread({ decodeWithinMs = 20_000 }: PictureThreadOptions = {}): PictureReader {
  if (!(decodeWithinMs > 0)) {
    throw new RangeError(`Expected decodeWithinMs to be above 0, got ${decodeWithinMs}`);
  }
  const waiting = new Set<Job>();
  let busy: { readonly job: Job; readonly watchdog: NodeJS.Timeout } | undefined;
  let isClosed = false;
  let thread: Worker | undefined = start();

  function start(): Worker {
    const started = new Worker(new URL('./picture-worker.ts', import.meta.url));
    started.unref();
    started.on('message', (reply: PictureReply) => {
      if (started !== thread) return;
      finish(({ resolve, reject }) => {
        if (reply.kind === 'tensor') resolve(reply.tensor);
        else reject(MeshError.fromBody(reply.error));
      });
    });
    started.on('error', (cause) => {
      lose(started, new MeshError('MESH_INTERNAL', 'The picture reader crashed', { cause }));
    });
    started.on('exit', (code) => {
      lose(started, new MeshError('MESH_INTERNAL', `The picture reader ended with code ${code}`));
    });
    return started;
  }

  /** Gives the thread the picture that has waited longest. */
  function dispatch(): void {
    const [job] = waiting;
    if (busy !== undefined || job === undefined) return;
    waiting.delete(job);
    thread ??= start();
    const current = thread;
    const watchdog = setTimeout(() => {
      lose(
        current,
        new MeshError('MESH_BAD_MEDIA', `The picture was not decoded within ${decodeWithinMs} ms`),
      );
      void current.terminate();
    }, decodeWithinMs);
    busy = { job, watchdog };
    try {
      current.postMessage(job.task);
    } catch (cause) {
      // Out of memory for the copy. Thrown from here, it would end the process or fail another picture's caller.
      const error = new MeshError('MESH_INTERNAL', 'The picture could not be copied to its thread', {
        cause,
      });
      finish(({ reject }) => reject(error));
    }
  }

  /** Settles the picture that the thread has, if it has one, and goes on with the next. */
  function finish(settle: (job: Job) => void): void {
    if (busy !== undefined) {
      clearTimeout(busy.watchdog);
      settle(busy.job);
      busy = undefined;
    }
    dispatch();
  }

  /** A thread that is gone takes only its picture with it. What a replaced thread still says counts no more. */
  function lose(lost: Worker, error: MeshError): void {
    if (lost !== thread) return;
    thread = undefined;
    finish(({ reject }) => reject(error));
  }

  return {
    toTensor: async (body, contentType, rule, signal) => {
      signal?.throwIfAborted();
      if (isClosed) throw new MeshError('MESH_DRAINING', 'The mesh is shutting down');
      if (waiting.size >= MAX_WAITING) {
        throw new MeshError('MESH_QUEUE_FULL', `All ${MAX_WAITING} places of the picture reader are taken`);
      }
      const { promise, resolve, reject } = Promise.withResolvers<Tensor>();
      const job: Job = { task: { body, contentType, rule }, resolve, reject };
      const onAbort = () => {
        waiting.delete(job);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      waiting.add(job);
      dispatch();
      try {
        return await promise;
      } finally {
        signal?.removeEventListener('abort', onAbort);
      }
    },
    close: async () => {
      isClosed = true;
      const error = new MeshError('MESH_DRAINING', 'The mesh is shutting down');
      for (const { reject } of waiting) reject(error);
      waiting.clear();
      const stopped = thread;
      if (stopped !== undefined) lose(stopped, error);
      await stopped?.terminate();
    },
  };
}
