import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { launcher } from './places.ts';

/** Another `nearfar` on this machine, in a process of its own. */
export interface ChildProgram {
  readonly process: ChildProcess;
  /** Resolves when it has ended, however. */
  readonly ended: Promise<void>;
  /** Lets it finish its work, then ends it. May be called twice. */
  stop(): Promise<void>;
}

/** How long a program may take to drain before it is killed, in milliseconds. */
const STOP_WITHIN_MS = 10_000;
/** How long a mesh may take to print its address, in milliseconds. */
const START_WITHIN_MS = 120_000;

/** Starts `nearfar worker`. The token goes by environment, where other users cannot read it. */
export function startChildWorker(options: {
  readonly join: string;
  readonly token: string;
  readonly id: string;
  readonly isQuiet: boolean;
}): ChildProgram {
  const { join, token, id, isQuiet } = options;
  const args = ['worker', '--join', join, '--id', id, ...(isQuiet ? ['--quiet'] : [])];
  return start(args, { NEARFAR_TOKEN: token }, 'ignore');
}

/**
 * Starts `nearfar up` on a free port and gives its address once it serves; its problems go to standard error.
 *
 * @throws Error when it ends or stays silent before it serves, and the signal's reason when that aborts before.
 */
export async function startChildMesh(options: {
  readonly stateDirectory: string;
  readonly poolWorkers: number;
  readonly signal: AbortSignal;
}): Promise<ChildProgram & { readonly url: string }> {
  const { stateDirectory, poolWorkers, signal } = options;
  const places = ['--port', '0', '--state', stateDirectory, '--pool-workers', String(poolWorkers)];
  const child = start(['up', ...places, '--quiet'], {}, 'pipe');
  try {
    return { ...child, url: await printedUrl(child.process, signal) };
  } catch (error) {
    await child.stop();
    throw error;
  }
}

function start(
  args: readonly string[],
  env: Record<string, string>,
  stdout: 'ignore' | 'pipe',
): ChildProgram {
  const child = spawn(process.execPath, [launcher(), ...args], {
    env: { ...process.env, ...env },
    // It drains when the channel closes, so that it does not outlive this process even when that is killed.
    stdio: ['ignore', stdout, 'inherit', 'ipc'],
  });
  const ended = once(child, 'exit').then(() => undefined);
  return {
    process: child,
    ended,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}

/** The first address that a mesh prints; what follows is read and thrown away, so that it never blocks. */
async function printedUrl(child: ChildProcess, signal: AbortSignal): Promise<string> {
  const { stdout } = child;
  if (stdout === null) throw new Error('Expected the mesh to have a standard output');
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  createInterface({ input: stdout }).on('line', (line) => {
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0];
    if (url !== undefined) resolve(url);
  });
  child.once('exit', (code) => reject(new Error(`The mesh ended with exit code ${code} before it served`)));
  const late = new Error(`The mesh did not serve within ${START_WITHIN_MS / 1_000} s`);
  const timer = setTimeout(() => reject(late), START_WITHIN_MS);
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}
