import { afterEach, beforeEach, expect, test } from 'vitest';
import { sampleTask } from '../../support/coordinator/sample-task.ts';
import { TestMesh } from '../../support/coordinator/test-mesh.ts';

let mesh: TestMesh;
beforeEach(async () => {
  mesh = await TestMesh.start({ reportEveryMs: 60_000 });
  await mesh.coordinator.register(sampleTask());
});
afterEach(() => mesh.close());

test('a request with a priority is not predicted to wait for what is less urgent', async () => {
  const worker = await mesh.serving('busy', 1);
  const longMs = 20_000;
  worker.load = () => ({
    backlogMs: longMs,
    runningMs: 3,
    ahead: [{ priority: 5, backlogMs: longMs / 2 }],
    waiting: 2,
    running: 1,
  });
  worker.report();
  await expect.poll(() => mesh.coordinator.fleet.find('busy')?.load.load?.backlogMs).toBe(longMs);
  const ask = async (priority: number) => {
    const { status, parameters } = await mesh.infer({ priority, on_infeasible: 'reject' });
    return status === 200 ? Number(parameters?.predicted_ms) < 1_000 : status;
  };
  expect(await ask(0)).toBe(503);
  expect(await ask(6)).toBe(503);
  expect(await ask(5)).toBe(503);
  expect(await ask(4)).toBe(true);
});
