import type {
  AccountLog,
  AccountRecord,
  ArtifactStore,
  ProfileStore,
  RegistryStore,
  StoredReport,
  TaskRecord,
} from '@nearfar/core';
import { LIMITS, MeshError } from '@nearfar/protocol';

/** A registry that lives as long as the process. */
export function createMemoryRegistry(records: readonly TaskRecord[] = []): RegistryStore {
  const kept = new Map(records.map((record) => [record.active.task, record]));
  return {
    list: async () => [...kept.values()],
    put: async (record) => {
      kept.set(record.active.task, record);
    },
    delete: async (task) => {
      kept.delete(task);
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
    delete: async (variants) => {
      for (const [key, { report }] of kept) {
        const isGone = variants.some(
          ({ task, variant, revision }) =>
            task === report.task && variant === report.variant && revision === report.revision,
        );
        if (isGone) kept.delete(key);
      }
    },
    close: async () => {},
  };
}

/** An artifact store that lives as long as the process. It packs nothing. */
export function createMemoryArtifacts(): ArtifactStore {
  const kept = new Map<string, Uint8Array>();
  return {
    sizeOf: async (sha256) => kept.get(sha256)?.byteLength,
    read: async (sha256, start, end) => {
      const bytes = kept.get(sha256);
      if (bytes === undefined) throw new MeshError('MESH_UNKNOWN_ARTIFACT', `Unknown artifact ${sha256}`);
      return bytes.slice(start, end);
    },
    write: async (content, expected) => {
      const bytes = await gather(content);
      const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
      const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
      if (expected !== undefined && expected !== sha256) throw otherContent(expected, sha256);
      kept.set(sha256, bytes);
      return { sha256, sizeBytes: bytes.byteLength };
    },
    delete: async (sha256) => {
      kept.delete(sha256);
    },
    close: async () => {},
  };
}

/** What came is not what was announced. */
export function otherContent(expected: string, found: string): MeshError {
  return new MeshError('MESH_BAD_REQUEST', `Expected content of SHA-256 ${expected}, got ${found}`);
}

/** More came than an artifact may have. */
export function artifactTooLarge(): MeshError {
  return new MeshError(
    'MESH_BODY_TOO_LARGE',
    `Expected an artifact of at most ${LIMITS.maxArtifactBytes} bytes, but more arrived`,
  );
}

async function gather(content: Uint8Array | AsyncIterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  if (content instanceof Uint8Array) return new Uint8Array(content);
  const parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const part of content) {
    sizeBytes += part.byteLength;
    if (sizeBytes > LIMITS.maxArtifactBytes) throw artifactTooLarge();
    parts.push(part.slice());
  }
  const bytes = new Uint8Array(sizeBytes);
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.byteLength;
  }
  return bytes;
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
