import type {
  AccountLog,
  AccountRecord,
  ArtifactStore,
  ProfileStore,
  RegisteredTask,
  RegistryStore,
  StoredReport,
} from '@nearfar/core';
import { MeshError } from '@nearfar/protocol';

/** A registry that lives as long as the process. */
export function createMemoryRegistry(tasks: readonly RegisteredTask[] = []): RegistryStore {
  const kept = new Map(tasks.map((task) => [task.task, task]));
  return {
    list: async () => [...kept.values()],
    put: async (task) => {
      kept.set(task.task, task);
    },
    close: async () => {},
  };
}

/** A profile store that lives as long as the process. */
export function createMemoryProfiles(): ProfileStore {
  const kept = new Map<string, StoredReport>();
  return {
    list: async () => [...kept.values()],
    save: async (reports) => {
      for (const stored of reports) {
        const { task, variant, revision, deviceClass, batch } = stored.report;
        kept.set([stored.reporter, task, variant, revision, deviceClass, batch].join('\n'), stored);
      }
    },
    close: async () => {},
  };
}

/** An artifact store that lives as long as the process. */
export function createMemoryArtifacts(): ArtifactStore {
  const kept = new Map<string, Uint8Array>();
  return {
    sizeOf: async (sha256) => kept.get(sha256)?.byteLength,
    read: async (sha256, start, end) => {
      const bytes = kept.get(sha256);
      if (bytes === undefined) throw new MeshError('MESH_UNKNOWN_ARTIFACT', `Unknown artifact ${sha256}`);
      return bytes.slice(start, end);
    },
    write: async (bytes) => {
      const copy = new Uint8Array(bytes);
      const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', copy));
      const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
      kept.set(sha256, copy);
      return { sha256, sizeBytes: copy.byteLength };
    },
    close: async () => {},
  };
}

/** An account log that keeps the newest records, `capacity` of them (default 10,000). */
export function createMemoryAccounts(
  capacity = 10_000,
): AccountLog & { records(): readonly AccountRecord[] } {
  const kept: AccountRecord[] = [];
  return {
    append: (record) => {
      kept.push(record);
      if (kept.length > capacity) kept.shift();
    },
    flush: async () => {},
    close: async () => {},
    records: () => [...kept],
  };
}
