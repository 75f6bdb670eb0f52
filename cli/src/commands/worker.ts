import { hostname } from 'node:os';
import { startPoolWorker } from '@nearfar/gpu-pool';
import { usageError } from '../exit-error.ts';
import { logProblems, logToStandardError } from '../log.ts';
import { stopSignal } from '../stop-signal.ts';

interface WorkerOptions {
  readonly join: string;
  readonly token?: string;
  readonly device: 'auto' | 'cpu' | 'webgpu' | 'cuda';
  readonly id?: string;
  readonly slots?: number;
  readonly usdPerHour?: number;
  readonly quiet?: boolean;
}

/** `nearfar worker`: serves a mesh until it is told to stop, then drains. */
export async function worker(options: WorkerOptions): Promise<void> {
  if (options.token === undefined || options.token === '') {
    throw usageError('needs --token or NEARFAR_TOKEN; make one with "nearfar token create --role worker"');
  }
  const log = options.quiet ? logProblems : logToStandardError;
  const pool = await startPoolWorker({
    join: options.join,
    token: options.token,
    device: options.device,
    workerId: options.id ?? `${hostname().replaceAll(/[^A-Za-z0-9._-]/g, '-')}-${process.pid}`,
    log,
    ...(options.slots !== undefined && { slots: options.slots }),
    ...(options.usdPerHour !== undefined && { usdPerHour: options.usdPerHour }),
  });
  log('info', `runs on ${pool.worker.device.kind}: ${pool.worker.device.description}`);
  const ended = await Promise.race([stopSignal(), pool.closed.then(() => undefined)]);
  if (ended !== undefined) {
    log('info', `${ended}: draining`);
    await pool.drain(ended);
  }
  await pool.close();
}
