import { Worker } from 'node:worker_threads';
import {
  checkLinearProgram,
  type LinearProgram,
  type Solution,
  type SolveOptions,
  type Solver,
} from '@nearfar/core';
import { MeshError } from '@nearfar/protocol';
import type { SolveReply, SolveTask } from './highs-thread.ts';

/** Programs that may wait for the thread; more are refused with `MESH_QUEUE_FULL`. */
const MAX_WAITING = 16;

/** Options of the solver. */
export interface HighsSolverOptions {
  /**
   * Milliseconds beyond a program's time limit after which the thread is given up (default 500): HiGHS looks at its clock
   * between steps, and a step may be long.
   */
  readonly graceMs?: number;
  /** Milliseconds that the thread may take until it is ready for its first program (default 10,000). */
  readonly startWithinMs?: number;
}

interface Job {
  readonly task: SolveTask;
  readonly resolve: (solution: Solution) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * HiGHS (Huangfu & Hall, "Parallelizing the dual revised simplex method", Mathematical Programming Computation 10, 2018),
 * as WebAssembly in a worker thread, one program at a time. The thread is started by the first program, and again after
 * one that overran its time limit: that one is answered `late`. An idle thread does not keep the process alive.
 */
export function createHighsSolver(options: HighsSolverOptions = {}): Solver {
  const { graceMs = 500, startWithinMs = 10_000 } = options;
  if (!(graceMs >= 0)) throw new RangeError(`Expected graceMs to be a number from 0, got ${graceMs}`);
  if (!(startWithinMs > 0))
    throw new RangeError(`Expected startWithinMs to be above 0, got ${startWithinMs}`);
  const waiting: Job[] = [];
  let busy: Job | undefined;
  let thread: Worker | undefined;
  let isReady = false;
  let watchdog: NodeJS.Timeout | undefined;
  let isClosed = false;

  function start(): Worker {
    const started = new Worker(new URL('./highs-thread.ts', import.meta.url));
    isReady = false;
    // The timer of a program keeps the process alive until there is an answer, and nothing does when there is none.
    started.unref();
    started.on('message', (reply: SolveReply) => {
      if (started !== thread) return;
      if (reply.kind === 'ready') {
        isReady = true;
        give();
      } else if (reply.kind === 'solution') {
        finish(({ resolve }) => resolve(reply.solution));
      } else {
        finish(({ reject }) => reject(failed(reply.message)));
      }
    });
    started.on('error', (cause) => lose(started, failed('crashed', cause)));
    started.on('exit', (code) => lose(started, failed(`ended with code ${code}`)));
    return started;
  }

  /** Takes the program that has waited longest. */
  function next(): void {
    if (busy !== undefined) return;
    busy = waiting.shift();
    if (busy === undefined) return;
    if (thread === undefined) {
      thread = start();
      watch(startWithinMs, ({ reject }) => reject(failed(`was not ready within ${startWithinMs} ms`)));
    }
    if (isReady) give();
  }

  /** Gives the thread the program that is due. */
  function give(): void {
    if (busy === undefined || thread === undefined) return;
    const { task } = busy;
    watch(task.options.timeLimitMs + graceMs, ({ resolve }) => resolve({ kind: 'late' }));
    try {
      thread.postMessage(task);
    } catch (cause) {
      finish(({ reject }) => reject(failed('could not be given the program', cause)));
    }
  }

  function watch(withinMs: number, settle: (job: Job) => void): void {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => {
      const stuck = thread;
      thread = undefined;
      void stuck?.terminate();
      finish(settle);
    }, withinMs);
  }

  function finish(settle: (job: Job) => void): void {
    clearTimeout(watchdog);
    const job = busy;
    busy = undefined;
    if (job !== undefined) settle(job);
    next();
  }

  /** A thread that is gone takes only its program with it. What a replaced thread still says counts no more. */
  function lose(lost: Worker, error: MeshError): void {
    if (lost !== thread) return;
    thread = undefined;
    finish(({ reject }) => reject(error));
  }

  return {
    solve: (problem: LinearProgram, solveOptions: SolveOptions) => {
      const { promise, resolve, reject } = Promise.withResolvers<Solution>();
      try {
        checkLinearProgram(problem);
        if (!(solveOptions.timeLimitMs > 0)) {
          throw new RangeError(`Expected timeLimitMs to be above 0, got ${solveOptions.timeLimitMs}`);
        }
        if (isClosed) throw new MeshError('MESH_DRAINING', 'The solver is shut down');
        if (waiting.length >= MAX_WAITING) {
          throw new MeshError('MESH_QUEUE_FULL', `All ${MAX_WAITING} places of the solver are taken`);
        }
        waiting.push({ task: { problem, options: solveOptions }, resolve, reject });
        next();
      } catch (error) {
        reject(error);
      }
      return promise;
    },
    close: async () => {
      isClosed = true;
      clearTimeout(watchdog);
      const error = new MeshError('MESH_DRAINING', 'The solver is shut down');
      for (const { reject } of waiting.splice(0)) reject(error);
      busy?.reject(error);
      busy = undefined;
      const stopped = thread;
      thread = undefined;
      await stopped?.terminate();
    },
  };
}

function failed(what: string, cause?: unknown): MeshError {
  return new MeshError('MESH_INTERNAL', `The solver failed: HiGHS ${what}`, { cause });
}
