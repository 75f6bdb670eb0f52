import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { describeWithChromium } from '../../support/chromium.ts';
import { waitFor } from '../../support/mesh-process.ts';

const LAUNCHER = fileURLToPath(new URL('../../../cli/bin/nearfar.js', import.meta.url));

let temporary: string;
let running: RunningCommand[];

beforeEach(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'nearfar-processes-'));
  running = [];
});

afterEach(async () => {
  for (const command of running) command.process.kill('SIGKILL');
  await rm(temporary, { recursive: true, force: true });
});

interface RunningCommand {
  readonly process: ChildProcessByStdio<null, Readable, Readable>;
  /** What it and the programs that it started said so far, on both outputs. */
  readonly said: () => string;
  /** Resolves when it ended and nothing that it started holds its outputs open. */
  readonly closed: Promise<number | null>;
}

function start(...args: readonly string[]): RunningCommand {
  return startOn(process.execPath, args);
}

function startOn(node: string, args: readonly string[]): RunningCommand {
  const child = spawn(node, [LAUNCHER, ...args], {
    env: { ...process.env, TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const output of [child.stdout, child.stderr]) {
    output.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
  }
  const closed = once(child, 'close').then(([code]) => code as number | null);
  const command = { process: child, said: () => text, closed };
  running.push(command);
  return command;
}

async function untilSaid(command: RunningCommand, text: string): Promise<void> {
  await waitFor(`"${text}"`, () => {
    if (command.process.exitCode !== null) throw new Error(`Ended before "${text}":\n${command.said()}`);
    return command.said().includes(text);
  });
}

const oldNode = findOldNode();

/** A Node on the PATH that is too old for the program, so that the launcher hands over to the pinned one. */
function findOldNode(): string | undefined {
  const folders = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => !folder.includes('node_modules'));
  return folders
    .map((folder) => join(folder, 'node'))
    .find((path) => {
      const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' });
      return /^v2[01]\./.test(stdout ?? '');
    });
}

test.skipIf(oldNode === undefined)(
  'a mesh ends when the launcher that handed over to it is killed',
  async () => {
    const args = ['up', '--port', '0', '--state', join(temporary, 'state'), '--pool-workers', '0'];
    const up = startOn(oldNode ?? process.execPath, args);
    await untilSaid(up, 'nearfar serves at');
    up.process.kill('SIGKILL');
    await up.closed;
    expect(up.said()).toContain('disconnect: draining');
  },
);

test('pool workers end by themselves when the mesh that started them is killed', async () => {
  const up = start('up', '--port', '0', '--state', join(temporary, 'state'), '--pool-workers', '1');
  await untilSaid(up, 'runs on');
  up.process.kill('SIGKILL');
  await up.closed;
  expect(up.said()).toContain('disconnect: draining');
});

describe('demo', () => {
  test('a signal while the mesh starts ends it with 130 and leaves nothing behind', async () => {
    const demo = start('demo', '--seconds', '1');
    await untilSaid(demo, 'starting the mesh');
    demo.process.kill('SIGTERM');
    expect(await demo.closed).toBe(130);
    expect(demo.said()).toContain('stopped by SIGTERM');
    expect((await readdir(temporary)).filter((name) => name.startsWith('nearfar-'))).toEqual([]);
  });
});

describeWithChromium('demo with its browser', () => {
  test('a signal while the browser starts ends it with 130 and leaves nothing behind', async () => {
    const demo = start('demo', '--seconds', '1');
    await untilSaid(demo, 'starting a browser');
    demo.process.kill('SIGINT');
    expect(await demo.closed).toBe(130);
    expect((await readdir(temporary)).filter((name) => name.startsWith('nearfar-'))).toEqual([]);
  });
});
