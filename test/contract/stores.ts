import type { ArtifactStore, ProfileStore, RegistryStore, StoredReport } from '@nearfar/core';
import { describe, expect, test } from 'vitest';
import { sampleTask } from '../support/coordinator/sample-task.ts';

/** What every registry driver keeps. */
export function registryStoreContract(driver: string, open: () => Promise<RegistryStore>): void {
  describe(`RegistryStore contract: ${driver}`, () => {
    test('is empty at first, and lists what was put', async () => {
      const store = await open();
      expect(await store.list()).toEqual([]);
      await store.put(sampleTask());
      await store.put(sampleTask({ task: 'other' }));
      expect((await store.list()).map((task) => task.task).sort()).toEqual(['other', 'sample']);
      await store.close();
    });

    test('replaces a task as a whole', async () => {
      const store = await open();
      await store.put(sampleTask());
      await store.put(sampleTask({ labels: ['x'], variants: [] }));
      expect(await store.list()).toEqual([sampleTask({ labels: ['x'], variants: [] })]);
      await store.close();
    });

    test('may be closed twice', async () => {
      const store = await open();
      await store.close();
      await store.close();
    });
  });
}

/** A stored report of one measured batch. */
export function storedReport(overrides: Partial<StoredReport['report']> = {}, receivedAt = 1): StoredReport {
  const report: StoredReport['report'] = {
    task: 'sample',
    variant: 'tiny-fp32-onnx',
    revision: 1,
    deviceClass: 'cpu:x64-2',
    batch: 1,
    epoch: 'one',
    version: 1,
    computeMs: { buckets: [[100, 3]], sum: 21, sumOfSquares: 147 },
    ...overrides,
  };
  return { reporter: 'worker:w1', receivedAt, report };
}

/** What every profile driver keeps. */
export function profileStoreContract(driver: string, open: () => Promise<ProfileStore>): void {
  describe(`ProfileStore contract: ${driver}`, () => {
    test('lists nothing of what was never profiled', async () => {
      const store = await open();
      expect(await store.list()).toEqual([]);
      await store.close();
    });

    test('keeps the newest report of each reporter, profile and batch', async () => {
      const store = await open();
      await store.save([storedReport(), storedReport({ batch: 4 })]);
      const newer = storedReport({ version: 2 }, 2);
      await store.save([newer]);
      await store.save([]);
      const kept = await store.list();
      expect(kept).toHaveLength(2);
      expect(kept).toContainEqual(newer);
      expect(kept).toContainEqual(storedReport({ batch: 4 }));
      await store.close();
    });
  });
}

/** What every artifact driver keeps. */
export function artifactStoreContract(driver: string, open: () => Promise<ArtifactStore>): void {
  describe(`ArtifactStore contract: ${driver}`, () => {
    const bytes = new TextEncoder().encode('0123456789');
    const address = '84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882';

    test('addresses bytes by their SHA-256, and the same bytes once', async () => {
      const store = await open();
      expect(await store.write(bytes)).toEqual({ sha256: address, sizeBytes: 10 });
      expect(await store.write(bytes)).toEqual({ sha256: address, sizeBytes: 10 });
      expect(await store.sizeOf(address)).toBe(10);
      await store.close();
    });

    test('reads all of it, a part, and no further than its end', async () => {
      const store = await open();
      await store.write(bytes);
      const text = async (start?: number, end?: number) =>
        new TextDecoder().decode(await store.read(address, start, end));
      expect([await text(), await text(3), await text(2, 5), await text(8, 99)]).toEqual([
        '0123456789',
        '3456789',
        '234',
        '89',
      ]);
      await store.close();
    });

    test('knows no size of, and refuses to read, what is not there', async () => {
      const store = await open();
      expect(await store.sizeOf('0'.repeat(64))).toBeUndefined();
      await expect(store.read('0'.repeat(64))).rejects.toMatchObject({ code: 'MESH_UNKNOWN_ARTIFACT' });
      expect(await store.sizeOf('../../etc/passwd')).toBeUndefined();
      await store.close();
    });
  });
}
