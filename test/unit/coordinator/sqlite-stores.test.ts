import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openSqliteStores } from '../../../coordinator/src/drivers/node/sqlite-stores.ts';
import { sampleTask, sampleVariant } from '../../support/coordinator/sample-task.ts';
import { mountSmallDisk } from '../../support/coordinator/small-disk.ts';

let path: string;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearfar-sqlite-'));
  path = join(folder, 'mesh.db');
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function close({ registry, profiles }: ReturnType<typeof openSqliteStores>): Promise<void> {
  await registry.close();
  await profiles.close();
}

test('reads a bare task, as 0.1.0 wrote it, as revision 1 of an unknown source', async () => {
  await close(openSqliteStores(path, 0));
  const { revision: _, rejected: __, source: ___, registeredAt: ____, ...bare } = sampleTask();
  const { origin: _____, ...variant } = sampleVariant({ revision: 3 });
  const database = new DatabaseSync(path);
  database
    .prepare('INSERT INTO tasks (task, json) VALUES (?, ?)')
    .run('sample', JSON.stringify({ ...bare, variants: [variant] }));
  database.close();

  const stores = openSqliteStores(path, 0);
  expect(await stores.registry.list()).toEqual([
    {
      active: sampleTask({ source: '', registeredAt: '', variants: [sampleVariant({ revision: 3 })] }),
    },
  ]);
  await close(stores);
});

test('says that the disk is full, and keeps the record as it was', async ({ skip }) => {
  const disk = join(folder, 'disk');
  const mounted = mountSmallDisk(disk, 512);
  if (mounted === undefined) skip('this system lets nobody mount a small disk');
  try {
    const stores = openSqliteStores(join(disk, 'mesh.db'), 0);
    await stores.registry.put({ active: sampleTask() });
    const labels = Array.from({ length: 50_000 }, (_, index) => `label ${index}`);
    const large = { active: sampleTask({ revision: 2, labels }) };
    await expect(stores.registry.put(large)).rejects.toMatchObject({ code: 'MESH_STORAGE_FULL' });
    expect(await stores.registry.list()).toEqual([{ active: sampleTask() }]);
    await close(stores);
  } finally {
    mounted?.unmount();
  }
});
