import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Prices } from '@nearfar/protocol';
import type { MeshPrograms } from '../bench.ts';

/** A mesh in processes of its own: the coordinator with its edge, and pool workers. */
export interface LiveMesh {
  readonly url: string;
  /** The JSON of a route. */
  getJson(path: string): Promise<unknown>;
  /** Ends all of it and removes its files. May be called twice. */
  close(): Promise<void>;
}

const READY_WITHIN_MS = 180_000;
const POLL_EVERY_MS = 250;
/** How long a process may take to drain before it is killed. */
const STOP_WITHIN_MS = 10_000;

interface WorkersBody {
  readonly workers: readonly { readonly replicas: readonly { readonly state: string }[] }[];
}

/**
 * Starts a mesh on a free port that asks nobody for a token, with one inference thread at the edge and one in each pool
 * worker, and resolves when every variant is ready on all of them.
 */
export async function startLiveMesh(
  { nearfar }: MeshPrograms,
  poolWorkers: number,
  prices: Prices,
): Promise<LiveMesh> {
  const stateDirectory = await mkdtemp(join(tmpdir(), 'nearfar-fidelity-'));
  const children: ChildProcess[] = [];
  let closed: Promise<void> | undefined;
  const close = () => {
    closed ??= Promise.all(children.toReversed().map(stop)).then(() =>
      rm(stateDirectory, { recursive: true, force: true }),
    );
    return closed;
  };
  const start = (args: readonly string[], env: Readonly<Record<string, string>> = {}) => {
    const [program, ...first] = nearfar;
    const child = spawn(program, [...first, ...args], {
      env: { ...process.env, ...env },
      // With the channel it ends when this process does, however that ends.
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    children.push(child);
    return child;
  };
  try {
    const state = ['--state', stateDirectory];
    const priceBook = join(stateDirectory, 'prices.json');
    await writeFile(priceBook, JSON.stringify(prices));
    const places = ['--port', '0', ...state, '--prices', priceBook];
    const url = await printedUrl(
      start(['up', ...places, '--pool-workers', '0', '--edge-slots', '1', '--no-auth', '--quiet']),
    );
    const printing = start(['token', 'create', '--role', 'worker', ...state]);
    const token = printing.stdout === null ? '' : (await text(printing.stdout)).trim();
    for (let index = 1; index <= poolWorkers; index += 1) {
      const worker = ['worker', '--join', url, '--id', `pool-${index}`, '--slots', '1', '--device', 'cpu'];
      start([...worker, '--quiet'], { NEARFAR_TOKEN: token }).stdout?.resume();
    }
    const getJson = (path: string) => readJson(`${url}${path}`);
    await untilReady(getJson, poolWorkers + 1);
    return { url, getJson, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function readJson(url: string): Promise<unknown> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`Expected ${url} to be answered, got HTTP ${response.status}`);
  return await response.json();
}

async function untilReady(getJson: LiveMesh['getJson'], count: number): Promise<void> {
  const giveUpAt = performance.now() + READY_WITHIN_MS;
  for (;;) {
    const { workers } = (await getJson('/v1/workers')) as WorkersBody;
    const ready = workers.filter(
      ({ replicas }) => replicas.length > 0 && replicas.every(({ state }) => state === 'ready'),
    );
    if (ready.length >= count) return;
    if (performance.now() > giveUpAt) {
      throw new Error(
        `Expected ${count} workers to be ready within ${READY_WITHIN_MS / 1_000} s, found ${ready.length}`,
      );
    }
    await sleep(POLL_EVERY_MS);
  }
}

/** The first address that a mesh prints. */
async function printedUrl(child: ChildProcess): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let printed = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    printed += chunk;
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(printed)?.[0];
    if (url !== undefined) resolve(url);
  });
  child.once('error', reject);
  child.once('exit', (code) => reject(new Error(`The mesh ended with exit code ${code} before it served`)));
  return await promise;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
  await ended;
  clearTimeout(timer);
}
