import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inferGolden, readGolden, saturatingDemands } from '../../support/golden.ts';
import { type MeshProcess, startMeshProcess, waitFor } from '../../support/mesh-process.ts';
import { runNearfar } from '../../support/run-nearfar.ts';

const LAUNCHER = fileURLToPath(new URL('../../../cli/bin/nearfar.js', import.meta.url));

let mesh: MeshProcess;
let pool: ChildProcess;

beforeAll(async () => {
  mesh = await startMeshProcess(['--pool-workers', '0']);
  const state = ['--state', mesh.stateDirectory];
  const { stdout } = await runNearfar(['token', 'create', '--role', 'worker', ...state]);
  pool = spawn(
    process.execPath,
    [LAUNCHER, 'worker', '--join', mesh.url, '--device', 'cpu', '--id', 'pool-1'],
    {
      env: { ...process.env, NEARFAR_TOKEN: stdout.trim() },
      stdio: 'ignore',
    },
  );
  await mesh.ready(2);
}, 120_000);

afterAll(async () => {
  pool?.kill('SIGKILL');
  await mesh?.close();
});

test('a pool worker that gets SIGTERM under load finishes what it has, loses nothing, and ends with 0', async () => {
  const golden = await readGolden('fashion', 'large');
  const parameters = await saturatingDemands(mesh);
  const exited = once(pool, 'exit');
  const burst = Array.from({ length: 40 }, () => inferGolden(mesh, 'fashion', golden, parameters));
  const poolLoad = async () =>
    (await mesh.workers()).find(({ workerId }) => workerId === 'pool-1')?.inFlight ?? 0;
  await waitFor('the pool worker to have work', async () => (await poolLoad()) > 0);
  pool.kill('SIGTERM');
  const answers = await Promise.all(burst);
  expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
  const tiers = answers.map((answer) => ('tier' in answer ? answer.tier : 'none'));
  expect(new Set(tiers)).toEqual(new Set(['edge', 'pool']));
  const [code] = (await exited) as [number | null];
  expect(code).toBe(0);
  await waitFor('the worker to have left', async () => (await mesh.workers()).length === 1);
});
