import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openWorkspace, SMALL_MANIFEST, type Workspace } from '../../support/register/workspace.ts';

const LAUNCHER = fileURLToPath(new URL('../../../cli/bin/nearfar.js', import.meta.url));

let workspace: Workspace;

beforeEach(async () => {
  workspace = await openWorkspace();
});
afterEach(() => workspace.close());

/** Labels nobody measured: agreement is what counts. */
const WITHOUT_EVAL = { eval: undefined };

describe('registering without a mesh', () => {
  test('makes variants, tries them and prints a table', async () => {
    const { code, stdout, stderr } = await workspace.register();
    expect(stderr).not.toContain('at ');
    expect(code).toBe(0);
    for (const variant of ['tiny-fp32-onnx', 'tiny-fp16-onnx', 'tiny-int8-onnx', 'tiny-fp32-tfjs']) {
      expect(stdout).toContain(variant);
    }
    const [task] = await workspace.models();
    expect(task).toMatchObject({ task: 'small-fashion', revision: 1 });
    // Every accuracy was measured on the labelled pictures.
    expect(task?.variants.map(({ accuracySource }) => accuracySource)).toEqual(
      task?.variants.map(() => 'measured'),
    );
    const int8 = task?.variants.find(({ variant }) => variant === 'tiny-int8-onnx');
    const fp32 = task?.variants.find(({ variant }) => variant === 'tiny-fp32-onnx');
    expect(int8?.sizeBytes).toBeLessThan((fp32?.sizeBytes ?? 0) / 2);
  });

  test('again with the same files changes nothing; with other weights it makes a new revision', async () => {
    await workspace.register();
    const before = await workspace.models();
    expect((await workspace.register()).code).toBe(0);
    expect(await workspace.models()).toEqual(before);

    const small = new URL('../../../models/fashion/small.onnx', import.meta.url);
    await writeFile(join(workspace.folder, 'tiny.onnx'), await readFile(small));
    expect((await workspace.register()).code).toBe(0);
    const [task] = await workspace.models();
    expect(task?.revision).toBe(2);
    expect(task?.variants.find(({ variant }) => variant === 'tiny-fp32-onnx')?.revision).toBe(2);
  });

  test('without labelled data, accuracy is declared or what agreement leaves of it, and never called measured', async () => {
    await workspace.change({ ...WITHOUT_EVAL, eval: undefined });
    const { code, stderr } = await workspace.register();
    expect(code).toBe(0);
    expect(stderr).toContain('noise');
    const [task] = await workspace.models();
    const sources = new Map(task?.variants.map(({ variant, accuracySource }) => [variant, accuracySource]));
    expect(sources.get('tiny-fp32-onnx')).toBe('declared');
    expect(sources.get('tiny-fp16-onnx')).toBe('agreement');
    expect([...sources.values()]).not.toContain('measured');
  });

  test('--no-generate registers only what the manifest brings', async () => {
    expect((await workspace.register('--no-generate')).code).toBe(0);
    const [task] = await workspace.models();
    expect(task?.variants.map(({ variant }) => variant)).toEqual(['tiny-fp32-onnx']);
  });

  test('--json prints only JSON', async () => {
    const { stdout } = await workspace.register('--json');
    expect(JSON.parse(stdout)).toMatchObject({ task: 'small-fashion', revision: 1 });
  });
});

describe('a registration that is killed', () => {
  /** Runs a registration and kills it when standard error has `lines` lines about variants; gives whether it was still running. */
  async function killAfter(lines: number): Promise<boolean> {
    const child = spawn(
      process.execPath,
      [LAUNCHER, 'register', workspace.manifest, '--local', '--state', workspace.state],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    let seen = 0;
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      seen += text.split('\n').length - 1;
      if (seen >= lines) child.kill('SIGKILL');
    });
    const [code] = (await once(child, 'exit')) as [number | null];
    return code === null;
  }

  test('leaves no half-registered task, and goes on from where it was', async () => {
    let kills = 0;
    for (const lines of [1, 2, 4]) {
      if (await killAfter(lines)) kills += 1;
      expect(await workspace.models()).toEqual([]);
    }
    expect(kills).toBe(3);
    const kept = new Set(await readdir(join(workspace.state, 'registrations')));
    expect(kept.size).toBeGreaterThan(0);

    const { code } = await workspace.register();
    expect(code).toBe(0);
    const [task] = await workspace.models();
    expect(task).toMatchObject({ task: 'small-fashion', revision: 1 });
    // What was finished before the kills was not done again.
    expect([...kept].every((name) => name.endsWith('.json'))).toBe(true);
    const after = new Set(await readdir(join(workspace.state, 'registrations')));
    for (const name of kept) expect(after).toContain(name);
  });
});

describe('bad input', () => {
  async function refused(): Promise<string> {
    const before = await workspace.models();
    const { code, stdout, stderr } = await workspace.register();
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).not.toMatch(/^\s+at .+:\d+:\d+/m);
    expect(await workspace.models()).toEqual(before);
    return stderr;
  }

  test('a manifest with a misspelt key', async () => {
    await workspace.change({ lables: [] });
    expect(await refused()).toContain('did you mean "labels"?');
  });

  test('no JSON at all', async () => {
    await writeFile(workspace.manifest, '{ "task": ');
    expect(await refused()).toContain('MESH_BAD_MANIFEST');
  });

  test('a model that is cut off', async () => {
    const whole = await readFile(join(workspace.folder, 'tiny.onnx'));
    await writeFile(join(workspace.folder, 'tiny.onnx'), whole.subarray(0, whole.length / 2));
    expect(await refused()).toMatch(/tiny\.onnx.*MESH_BAD_MODEL/s);
  });

  test('a model outside the folder', async () => {
    await workspace.change({ models: [{ ...SMALL_MANIFEST.models[0], path: '../../etc/hostname' }] });
    expect(await refused()).toContain('--files');
  });

  test('a file that is no model', async () => {
    await writeFile(join(workspace.folder, 'tiny.onnx'), 'hello, this is only text');
    expect(await refused()).toContain('MESH_BAD_MODEL');
  });

  test('labels out of range', async () => {
    await workspace.change({ labels: ['0', '1', '2'] });
    expect(await refused()).toMatch(/labels/);
  });

  test('pictures of another size than the labels say, or fewer labels than pictures', async () => {
    await writeFile(join(workspace.folder, 'labels.gz'), new Uint8Array([0, 0, 8, 1, 0, 0, 0, 2, 1, 1]));
    expect(await refused()).toContain('MESH_BAD_EVAL_DATA');
  });

  test('a rule that asks for another shape than the model has', async () => {
    await workspace.change({ preprocess: { ...SMALL_MANIFEST.preprocess, width: 32, height: 32 } });
    expect(await refused()).toMatch(/expected "image" to have shape \[1, 1, 32, 32\]/);
  });
});
