import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { zipSync } from 'fflate';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type ModelProto,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
} from '../../../register/src/onnx/generated/onnx_pb.ts';
import { openWorkspace, SMALL_MANIFEST, type Workspace } from '../../support/register/workspace.ts';
import { runNearfar } from '../../support/run-nearfar.ts';

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

    const place = ['--local', '--state', workspace.state];
    expect((await runNearfar(['rollback', 'small-fashion', ...place])).code).toBe(0);
    expect((await workspace.models())[0]).toMatchObject({ revision: 1, previousRevision: 2 });
    expect((await runNearfar(['delete', 'small-fashion', ...place])).stdout).toContain('left: none');
    expect((await runNearfar(['rollback', 'small-fashion', ...place])).stderr).toContain('MESH_UNKNOWN_TASK');
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

  test('--data names any folder with the eval data, and one that is not there is wrong usage', async () => {
    const data = join(workspace.folder, 'elsewhere');
    await mkdir(data);
    for (const name of ['images.gz', 'labels.gz'])
      await rename(join(workspace.folder, name), join(data, name));
    expect((await workspace.register('--no-generate', '--data', data)).code).toBe(0);
    const [task] = await workspace.models();
    expect(task?.variants.map(({ accuracySource }) => accuracySource)).toEqual(['measured']);

    const { code, stderr } = await workspace.register('--data', join(data, 'none'));
    expect([code, stderr]).toEqual([2, expect.stringContaining('Expected --data to name a folder')]);
  });

  test('--rollout says that there is no traffic to move', async () => {
    const { code, stderr } = await workspace.register('--no-generate', '--rollout', 'canary');
    expect([code, stderr]).toEqual([0, expect.stringContaining('no traffic')]);
  });

  test('two registrations of a task at once keep both of its revisions', async () => {
    const other = join(workspace.folder, 'other.json');
    await writeFile(other, JSON.stringify({ ...SMALL_MANIFEST, defaults: { slo_ms: 50 } }));
    // The second knows nothing of the first when it begins, and ends long after it.
    const ended = await Promise.all([
      workspace.register('--no-generate'),
      runNearfar(['register', other, '--local', '--state', workspace.state]),
    ]);
    expect(
      ended.map(({ code }) => code),
      ended.map(({ stderr }) => stderr).join(),
    ).toEqual([0, 0]);
    const [task] = await workspace.models();
    expect(task).toMatchObject({ revision: 2, previousRevision: 1 });
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

  /** Starts a registration and gives it with the process that does its work, as soon as that is under way. */
  async function underWay() {
    const args = [LAUNCHER, 'register', workspace.manifest, '--local', '--state', workspace.state];
    const command = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    command.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    await expect.poll(() => stderr, { timeout: 30_000 }).toContain('accepted');
    const children = await readFile(`/proc/${command.pid}/task/${command.pid}/children`, 'utf8');
    const [worker] = children.trim().split(' ').map(Number);
    if (worker === undefined) throw new Error('Expected a process that does the work');
    return { command, worker, said: () => stderr };
  }
  const hasProc = process.platform === 'linux';

  test.skipIf(!hasProc)(
    'says so when the process that does the work dies: a model may crash a runtime',
    async () => {
      const { command, worker, said } = await underWay();
      process.kill(worker, 'SIGKILL');
      expect(await once(command, 'close')).toEqual([1, null]);
      expect(said()).toContain('The registration process ended by SIGKILL; run it again');
      expect(await workspace.models()).toEqual([]);
    },
  );

  test.skipIf(!hasProc)('leaves no process behind', async () => {
    const { command, worker } = await underWay();
    command.kill('SIGKILL');
    await expect.poll(() => isAlive(worker), { timeout: 30_000 }).toBe(false);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

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

  test('fewer labels than the model has scores', async () => {
    await workspace.change({ labels: ['0', '1', '2'] });
    expect(await refused()).toMatch(/labels/);
  });

  test('a labelled picture whose label is out of range', async () => {
    const labels = gunzipSync(await readFile(join(workspace.folder, 'labels.gz')));
    labels[8 + 17] = 10;
    await writeFile(join(workspace.folder, 'labels.gz'), gzipSync(labels));
    expect(await refused()).toMatch(/got 10 in row 17 .MESH_BAD_EVAL_DATA/);
  });

  test('pictures of another size than the labels say, or fewer labels than pictures', async () => {
    await writeFile(join(workspace.folder, 'labels.gz'), new Uint8Array([0, 0, 8, 1, 0, 0, 0, 2, 1, 1]));
    expect(await refused()).toContain('MESH_BAD_EVAL_DATA');
  });

  /** Writes the workspace's model anew, changed. */
  async function changeModel(change: (model: ModelProto) => void): Promise<void> {
    const path = join(workspace.folder, 'tiny.onnx');
    const model = fromBinary(ModelProtoSchema, await readFile(path));
    change(model);
    await writeFile(path, toBinary(ModelProtoSchema, model));
  }

  test('an operator that the runtime lacks', async () => {
    await changeModel(({ graph }) => {
      const relu = graph?.node.find(({ opType }) => opType === 'Relu');
      if (relu !== undefined) relu.opType = 'Telepathy';
    });
    expect(await refused()).toMatch(/Telepathy.*MESH_BAD_MODEL/s);
  });

  test('weights that are not numbers', async () => {
    await changeModel(({ graph }) => {
      const weights = graph?.initializer.find(({ rawData }) => rawData.byteLength > 400);
      if (weights === undefined) throw new Error('Expected the model to have raw weights');
      const bytes = Uint8Array.from(weights.rawData);
      new DataView(bytes.buffer).setFloat32(40, Number.NaN, true);
      weights.rawData = bytes;
    });
    expect(await refused()).toMatch(/NaN|finite/);
  });

  test('three gigabytes of external data outside the folder', async () => {
    await changeModel(({ graph }) => {
      const [weights] = graph?.initializer ?? [];
      if (weights === undefined) throw new Error('Expected the model to have weights');
      weights.rawData = new Uint8Array();
      weights.dataLocation = TensorProto_DataLocation.EXTERNAL;
      weights.externalData = [
        { key: 'location', value: '../../../../var/lib/huge.bin' },
        { key: 'length', value: String(3 * 2 ** 30) },
      ].map((entry) => create(StringStringEntryProtoSchema, entry));
    });
    expect(await refused()).toMatch(/huge\.bin.*MESH_BAD_MODEL/s);
  });

  test('a zip bomb as eval data', async () => {
    // 64 MiB of zeros that say that they are one byte: packed a thousand to one.
    const bomb = zipSync(
      { 'x.npy': new Uint8Array(64 * 1024 * 1024), 'y.npy': new Uint8Array(8) },
      { level: 9 },
    );
    await writeFile(join(workspace.folder, 'eval.npz'), bomb);
    await workspace.change({ eval: { format: 'npz', file: 'eval.npz' } });
    expect(await refused()).toContain('MESH_BAD_EVAL_DATA');
  });

  test('a disk that is full, which goes on once there is room', async ({ skip }) => {
    const disk = join(workspace.folder, 'disk');
    await mkdir(disk);
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=192k', 'tmpfs', disk]).status !== 0) {
      skip('this user may not mount a small disk');
    }
    try {
      const state = join(disk, 'state');
      const args = ['register', workspace.manifest, '--local', '--state', state];
      const { code, stderr } = await runNearfar(args);
      expect(code).toBe(1);
      expect(stderr).toContain('MESH_STORAGE_FULL');
      expect((await runNearfar(['models', '--local', '--json', '--state', state])).stdout.trim()).toBe('[]');

      expect(spawnSync('mount', ['-o', 'remount,size=8m', disk]).status).toBe(0);
      expect((await runNearfar(args)).code).toBe(0);
    } finally {
      spawnSync('umount', [disk]);
    }
  });

  test('a rule that asks for another shape than the model has', async () => {
    await workspace.change({ preprocess: { ...SMALL_MANIFEST.preprocess, width: 32, height: 32 } });
    expect(await refused()).toMatch(/expected "image" to have shape \[1, 1, 32, 32\]/);
  });
});
