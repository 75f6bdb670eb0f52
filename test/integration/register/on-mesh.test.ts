import { cp, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { samplePath } from '../../support/infer.ts';
import { type MeshProcess, startMeshProcess, waitFor } from '../../support/mesh-process.ts';
import { type ListedTask, openWorkspace, type Workspace } from '../../support/register/workspace.ts';
import { runNearfar } from '../../support/run-nearfar.ts';

const MODELS = fileURLToPath(new URL('../../../models/', import.meta.url));
const TASK = 'small-fashion';
const WITHIN_MS = 3 * 60_000;

let mesh: MeshProcess;
let workspace: Workspace;
let place: string[];

beforeAll(async () => {
  workspace = await openWorkspace();
  mesh = await startMeshProcess(['--pool-workers', '0', '--manifest', `${MODELS}digits/manifest.json`]);
  await mesh.ready(1);
  place = ['--url', mesh.url, '--state', mesh.stateDirectory];
}, 120_000);
afterAll(async () => {
  await mesh?.close();
  await workspace?.close();
});

/** Runs a command against the mesh; its standard output. */
async function run(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runNearfar([...args, ...place]);
  expect(code, stderr).toBe(0);
  return stdout;
}

async function listed(): Promise<ListedTask & { readonly rollout?: Readonly<Record<string, unknown>> }> {
  const [task] = JSON.parse(await run('models', TASK, '--json'));
  return task;
}

const infer = () => run('infer', TASK, '--file', samplePath('fashion', 'bag'), '--json');

// Each test goes on where the one before it left the mesh.
describe('a task on a mesh', () => {
  test(
    'is made, loaded and measured; the next request is served, and the tables show what was found',
    async () => {
      const table = await run('register', workspace.manifest);
      expect(table).toMatch(/tiny-int8-onnx\s+1\s+.*measured on 300/);
      expect(table).toMatch(/cpu:\S+/);
      const answer = JSON.parse(await infer());
      expect(answer.predictions).toHaveLength(10);

      const profiles = JSON.parse(await run('profile', TASK, '--batch', '1', '--json'));
      expect(profiles.length).toBeGreaterThanOrEqual(4);
      for (const profile of profiles) {
        expect(profile).toMatchObject({ task: TASK, batch: 1, isStale: false, runtimeBytes: 0 });
        for (const field of [
          'samples',
          'p50Ms',
          'p99Ms',
          'compileMs',
          'firstRunMs',
          'modelBytes',
          'peakMemoryBytes',
        ]) {
          expect(profile[field], `${profile.variant} ${field}`).toBeGreaterThan(0);
        }
      }
      expect(await run('profile', TASK)).toContain('device class');
    },
    WITHIN_MS,
  );

  test(
    'gets a new revision with new weights, first as a canary, then for everybody',
    async () => {
      await cp(join(MODELS, 'fashion', 'small.onnx'), join(workspace.folder, 'tiny.onnx'));
      const table = await run('register', workspace.manifest, '--rollout', 'canary', '--share', '0.5');
      expect(table).toContain('revision 2 is serving (canary of 50.00 %); 1 serves');
      expect(await listed()).toMatchObject({
        revision: 1,
        rollout: { mode: 'canary', revision: 2, state: 'serving' },
      });

      await run('promote', TASK);
      expect(await listed()).toMatchObject({ revision: 2, previousRevision: 1 });
      await infer();
    },
    WITHIN_MS,
  );

  test(
    'goes back to the revision before, which keeps its number and its files',
    async () => {
      await run('rollback', TASK);
      await waitFor('the former revision', async () => (await listed()).revision !== 2);
      const { revision, variants } = await listed();
      expect(revision).toBe(1);
      expect(variants.find(({ variant }) => variant === 'tiny-fp32-onnx')?.revision).toBe(1);
      await infer();
    },
    WITHIN_MS,
  );

  test(
    'is not deleted while somebody uses it, unless by force; then its files go',
    async () => {
      await infer();
      const { code, stderr } = await runNearfar(['delete', TASK, ...place]);
      expect(code).toBe(1);
      expect(stderr).toContain('MESH_MODEL_IN_USE');

      const before = await artifacts();
      expect(await run('delete', TASK, '--force')).toContain('left: digits');
      await waitFor('files to go', async () => (await artifacts()).length < before.length);
      const gone = await runNearfar(['infer', TASK, '--file', samplePath('fashion', 'bag'), ...place]);
      expect(gone.stderr).toContain('MESH_UNKNOWN_TASK');
    },
    WITHIN_MS,
  );

  test('refuses a manifest with the reason, and stays as it was', async () => {
    await workspace.change({ lables: [] });
    const { code, stderr } = await runNearfar(['register', workspace.manifest, ...place]);
    expect(code).toBe(1);
    expect(stderr).toContain('did you mean "labels"?');
    expect(JSON.parse(await run('models', '--json')).map(({ task }: ListedTask) => task)).toEqual(['digits']);
  });
});

async function artifacts(): Promise<string[]> {
  const names = await readdir(join(mesh.stateDirectory, 'artifacts'), { recursive: true });
  return names.filter((name) => /[0-9a-f]{64}$/.test(name));
}
