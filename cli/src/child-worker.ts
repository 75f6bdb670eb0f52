import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { launcher } from './places.ts';

/** A pool worker in a process of its own on this machine. */
export interface ChildWorker {
  readonly process: ChildProcess;
  /** Lets it finish its work, then ends it. May be called twice. */
  stop(): Promise<void>;
}

/** How long a worker may take to drain before it is killed. */
const STOP_AFTER_MS = 5_000;

/** Starts `nearfar worker`. The token goes by environment, where other users cannot read it. */
export function startChildWorker(options: {
  join: string;
  token: string;
  id: string;
  quiet?: boolean;
}): ChildWorker {
  const child = spawn(process.execPath, [launcher(), 'worker', '--join', options.join, '--id', options.id], {
    env: { ...process.env, NEARFAR_TOKEN: options.token },
    stdio: ['ignore', 'ignore', options.quiet ? 'ignore' : 'inherit'],
  });
  const exited = once(child, 'exit');
  return {
    process: child,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_AFTER_MS);
      await exited;
      clearTimeout(timer);
    },
  };
}
