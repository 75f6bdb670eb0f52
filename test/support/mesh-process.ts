import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const LAUNCHER = fileURLToPath(new URL('../../cli/bin/nearfar.js', import.meta.url));

/** One line of `GET /v1/workers`. */
export interface WorkerLine {
  readonly workerId: string;
  readonly tier: 'edge' | 'pool';
  readonly state: string;
  /** Requests that the mesh has handed to it and that it has not answered. */
  readonly inFlight: number;
  readonly replicas: readonly { readonly variant: string; readonly state: string }[];
}

/** A mesh started as a user starts it: `nearfar up` in a process of its own. */
export interface MeshProcess {
  readonly url: string;
  /** An admin token, taken from the printed console link. */
  readonly token: string;
  readonly stateDirectory: string;
  /** All that was printed on standard output. */
  readonly printed: () => string;
  get(path: string): Promise<unknown>;
  /** Resolves when `count` workers have every variant ready. */
  ready(count: number): Promise<void>;
  workers(): Promise<readonly WorkerLine[]>;
  /** Process ids of its local pool workers, as its log says. */
  poolProcessIds(): readonly number[];
  close(): Promise<void>;
}

/** Starts `nearfar up` on a free port with a state folder of its own. */
export async function startMeshProcess(args: readonly string[] = []): Promise<MeshProcess> {
  const stateDirectory = await mkdtemp(join(tmpdir(), 'nearfar-test-'));
  const command = [LAUNCHER, 'up', '--port', '0', '--state', stateDirectory, ...args];
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { standard: '', errors: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.standard += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.errors += text;
  });
  const { url, token } = await printedAddress(child, output);
  const get = async (path: string): Promise<unknown> => {
    const response = await fetch(`${url}${path}`, { headers: { Authorization: `Bearer ${token}` } });
    return await response.json();
  };
  const workers = async () => ((await get('/v1/workers')) as { workers: WorkerLine[] }).workers;
  return {
    url,
    token,
    stateDirectory,
    printed: () => output.standard,
    get,
    workers,
    poolProcessIds: () =>
      [...output.errors.matchAll(/pool worker process (\d+)/g)].map(([, id]) => Number(id)),
    async ready(count) {
      await waitFor(`${count} ready workers`, async () => {
        const lines = await workers();
        const isReady = ({ replicas }: WorkerLine) =>
          replicas.length > 0 && replicas.every((replica) => replica.state === 'ready');
        return lines.filter(isReady).length >= count;
      }).catch((error: unknown) => {
        throw new Error(`The mesh did not get ready; it logged:\n${output.errors}`, { cause: error });
      });
    },
    async close() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGTERM');
        await once(child, 'exit');
      }
      await rm(stateDirectory, { recursive: true, force: true });
    },
  };
}

/** Asks again and again until `isTrue`; fails naming `what` after a minute. */
export async function waitFor(what: string, isTrue: () => Promise<boolean> | boolean): Promise<void> {
  const giveUpAt = performance.now() + 60_000;
  while (!(await isTrue())) {
    if (performance.now() > giveUpAt) throw new Error(`Waited a minute for ${what}`);
    await sleep(50);
  }
}

async function printedAddress(
  child: ChildProcess,
  output: { readonly standard: string; readonly errors: string },
): Promise<{ url: string; token: string }> {
  let address: { url: string; token: string } | undefined;
  await waitFor('the address of the mesh', () => {
    if (child.exitCode !== null)
      throw new Error(`nearfar up ended with ${child.exitCode}:\n${output.errors}`);
    const [, url, token] = /console\s+(http:\/\/127\.0\.0\.1:\d+)\/\?token=(\S+)/.exec(output.standard) ?? [];
    if (url !== undefined && token !== undefined) address = { url, token };
    return address !== undefined;
  });
  if (address === undefined) throw new Error('Expected the address to be printed');
  return address;
}
