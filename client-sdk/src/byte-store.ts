import type { Dexie, Table } from 'dexie';

/**
 * Files by their SHA-256 that outlive the page. `read` gives what was written, or undefined when the browser has
 * cleared it; `write` may reject for want of room. Nobody but the caller vouches for the bytes.
 */
export interface ByteStore {
  read(sha256: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  write(sha256: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  remove(sha256: string): Promise<void>;
  /** Removes the file that was read longest ago, except `keep`; gives false when there is none. */
  removeOldest(keep: ReadonlySet<string>): Promise<boolean>;
  close(): void;
}

const NAME = 'nearfar-artifacts';

interface IndexEntry {
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly usedAt: number;
}

/** Opens the browser's store: the index in IndexedDB, by Dexie, the bytes in the Cache API. */
export async function openByteStore(now: () => number): Promise<ByteStore> {
  const [{ Dexie: Database }, cache] = await Promise.all([import('dexie'), caches.open(NAME)]);
  const database: Dexie = new Database(NAME);
  database.version(1).stores({ artifacts: 'sha256, usedAt' });
  await database.open();
  const index: Table<IndexEntry, string> = database.table('artifacts');

  const remove = async (sha256: string): Promise<void> => {
    await cache.delete(keyOf(sha256));
    await index.delete(sha256);
  };
  return {
    remove,
    async read(sha256) {
      const response = await cache.match(keyOf(sha256));
      if (response === undefined) {
        await index.delete(sha256);
        return undefined;
      }
      const bytes = new Uint8Array(await response.arrayBuffer());
      await index.put({ sha256, sizeBytes: bytes.byteLength, usedAt: now() });
      return bytes;
    },
    async write(sha256, bytes) {
      // The index first: a file that it does not know could never be removed.
      await index.put({ sha256, sizeBytes: bytes.byteLength, usedAt: now() });
      await cache.put(keyOf(sha256), new Response(bytes));
    },
    async removeOldest(keep) {
      const oldest = await index
        .orderBy('usedAt')
        .filter((entry) => !keep.has(entry.sha256))
        .first();
      if (oldest !== undefined) await remove(oldest.sha256);
      return oldest !== undefined;
    },
    close: () => database.close(),
  };
}

/** The Cache API keys by URL; this one is ours alone and never fetched (RFC 2606 reserves the domain). */
function keyOf(sha256: string): string {
  return `https://artifacts.invalid/${sha256}`;
}
