import type {
  ArtifactStore,
  ProfileStore,
  RegisteredTask,
  RegistryStore,
  StoredReport,
  TaskRecord,
} from '@nearfar/core';
import { describe, expect, test } from 'vitest';
import { changedTask, sampleTask } from '../support/coordinator/sample-task.ts';

/** A record of the sample task. */
export function sampleRecord(
  active: Partial<RegisteredTask> = {},
  rest: Partial<TaskRecord> = {},
): TaskRecord {
  return { active: sampleTask(active), ...rest };
}

/** What every registry driver keeps. */
export function registryStoreContract(driver: string, open: () => Promise<RegistryStore>): void {
  describe(`RegistryStore contract: ${driver}`, () => {
    test('is empty at first, and lists what was put', async () => {
      const store = await open();
      expect(await store.list()).toEqual([]);
      await store.put(sampleRecord());
      await store.put(sampleRecord({ task: 'other' }));
      expect((await store.list()).map(({ active }) => active.task).sort()).toEqual(['other', 'sample']);
      await store.close();
    });

    test('keeps the active, the previous and the next revision with its rollout', async () => {
      const store = await open();
      const record = sampleRecord(
        { revision: 2 },
        {
          previous: sampleTask(),
          next: { task: changedTask({ revision: 3 }), rollout: { mode: 'canary', share: 0.1 } },
        },
      );
      await store.put(record);
      expect(await store.list()).toEqual([record]);
      await store.close();
    });

    test('replaces a record as a whole', async () => {
      const store = await open();
      await store.put(sampleRecord({}, { previous: sampleTask({ revision: 7 }) }));
      await store.put(sampleRecord({ labels: ['x'], variants: [] }));
      expect(await store.list()).toEqual([sampleRecord({ labels: ['x'], variants: [] })]);
      await store.close();
    });

    test('forgets a task, and is not disturbed by one that it does not know', async () => {
      const store = await open();
      await store.put(sampleRecord());
      await store.put(sampleRecord({ task: 'other' }));
      await store.delete('sample');
      await store.delete('sample');
      expect((await store.list()).map(({ active }) => active.task)).toEqual(['other']);
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

    test('forgets a variant in one revision, with all of its batches', async () => {
      const store = await open();
      const next = storedReport({ revision: 2 });
      await store.save([storedReport(), storedReport({ batch: 4 }), next]);
      await store.delete([{ task: 'sample', variant: 'tiny-fp32-onnx', revision: 1 }]);
      await store.delete([{ task: 'sample', variant: 'unknown', revision: 1 }]);
      expect(await store.list()).toEqual([next]);
      await store.close();
    });
  });
}

/** Parts of a file as they arrive. */
async function* arriving(...parts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield new TextEncoder().encode(part);
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

    test('takes a file as it arrives', async () => {
      const store = await open();
      expect(await store.write(arriving('0123', '', '456789'))).toEqual({ sha256: address, sizeBytes: 10 });
      expect(await store.write(arriving('0123456789'), address)).toEqual({ sha256: address, sizeBytes: 10 });
      expect(new TextDecoder().decode(await store.read(address))).toBe('0123456789');
      await store.close();
    });

    test('keeps nothing that is not what was announced, or that breaks off', async () => {
      const store = await open();
      const other = { code: 'MESH_BAD_REQUEST' };
      await expect(store.write(arriving('012345678'), address)).rejects.toMatchObject(other);
      await expect(store.write(bytes.subarray(1), address)).rejects.toMatchObject(other);
      async function* broken() {
        yield bytes;
        throw new Error('the caller left');
      }
      await expect(store.write(broken(), address)).rejects.toThrow('the caller left');
      expect(await store.sizeOf(address)).toBeUndefined();
      await store.close();
    });

    test('forgets a file, and is not disturbed by one that it does not know', async () => {
      const store = await open();
      await store.write(bytes);
      await store.delete(address);
      await store.delete(address);
      await store.delete('../../etc/passwd');
      expect(await store.sizeOf(address)).toBeUndefined();
      await expect(store.read(address)).rejects.toMatchObject({ code: 'MESH_UNKNOWN_ARTIFACT' });
      expect(await store.write(bytes)).toEqual({ sha256: address, sizeBytes: 10 });
      await store.close();
    });
  });
}
