import { type Artifact, MeshError } from '@nearfar/protocol';
import { describe, expect, test } from 'vitest';
import { ArtifactCache, type ArtifactRequest } from '../../../client-sdk/src/artifact-cache.ts';
import type { ByteStore } from '../../../client-sdk/src/byte-store.ts';
import { artifactOf } from './builders.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** A file of the given bytes, sent in parts of two. */
function bodyOf(bytes: Bytes): ReadableStream<Bytes> {
  let offset = 0;
  return new ReadableStream({
    pull(controller) {
      if (offset >= bytes.byteLength) controller.close();
      else controller.enqueue(bytes.slice(offset, offset + 2));
      offset += 2;
    },
  });
}

/** A store in memory that has room for `capacityBytes`. */
class SmallStore implements ByteStore {
  readonly files = new Map<string, Bytes>();
  readonly capacityBytes: number;
  isClosed = false;

  constructor(capacityBytes = 1_000) {
    this.capacityBytes = capacityBytes;
  }

  async read(sha256: string): Promise<Bytes | undefined> {
    const bytes = this.files.get(sha256);
    if (bytes !== undefined) {
      // The order of the map is the order of use.
      this.files.delete(sha256);
      this.files.set(sha256, bytes);
    }
    return bytes;
  }

  async write(sha256: string, bytes: Bytes): Promise<void> {
    const usedBytes = [...this.files.values()].reduce((sum, file) => sum + file.byteLength, 0);
    if (usedBytes + bytes.byteLength > this.capacityBytes)
      throw new DOMException('No room', 'QuotaExceededError');
    this.files.set(sha256, bytes);
  }

  async remove(sha256: string): Promise<void> {
    this.files.delete(sha256);
  }

  async removeOldest(keep: ReadonlySet<string>): Promise<boolean> {
    const oldest = [...this.files.keys()].find((sha256) => !keep.has(sha256));
    return oldest !== undefined && this.files.delete(oldest);
  }

  close(): void {
    this.isClosed = true;
  }
}

/** A cache in front of a mesh that has the files it was given. */
class Page {
  readonly files = new Map<string, Bytes>();
  readonly downloads: string[] = [];
  readonly complaints: string[] = [];
  readonly cache: ArtifactCache;

  constructor(openStore: () => Promise<ByteStore>) {
    this.cache = new ArtifactCache({
      openStore,
      onMemoryOnly: (reason) => this.complaints.push(reason),
      api: {
        artifact: async (sha256) => {
          this.downloads.push(sha256);
          const bytes = this.files.get(sha256);
          if (bytes === undefined) throw new MeshError('MESH_UNKNOWN_ARTIFACT', 'No such file');
          return new Response(bodyOf(bytes));
        },
      },
    });
  }

  /** Puts a file on the mesh. What is sent for it may differ from what is announced. */
  publish(bytes: Bytes, sent: Bytes = bytes): Artifact {
    const artifact = artifactOf(bytes);
    this.files.set(artifact.sha256, sent);
    return artifact;
  }

  async get(artifact: Artifact, request?: ArtifactRequest): Promise<Bytes> {
    return (await this.cache.get(artifact, request)).bytes;
  }
}

const pageWith = (store: ByteStore) => new Page(() => Promise.resolve(store));
const bytesOf = (...values: number[]): Bytes => Uint8Array.from(values);

describe('artifact cache', () => {
  test('gives the bytes, tells how many are here, and stores them', async () => {
    const store = new SmallStore();
    const page = pageWith(store);
    const artifact = page.publish(bytesOf(1, 2, 3, 4, 5));
    const loaded: number[] = [];
    expect(await page.get(artifact, { onLoaded: (bytes) => loaded.push(bytes) })).toEqual(
      bytesOf(1, 2, 3, 4, 5),
    );
    expect(loaded).toEqual([2, 4, 5]);
    expect(store.files.get(artifact.sha256)).toEqual(bytesOf(1, 2, 3, 4, 5));
    expect(page.cache.isMemoryOnly).toBe(false);
  });

  test.each([
    ['other bytes', bytesOf(1, 2, 9), 'is not what it should be'],
    ['too few bytes', bytesOf(1, 2), '3 bytes, got 2'],
    ['too many bytes', bytesOf(1, 2, 3, 4), '3 bytes, got more'],
    ['no bytes at all', bytesOf(), '3 bytes, got 0'],
  ])('%s are corrupt and not stored', async (_, sent, complaint) => {
    const store = new SmallStore();
    const page = pageWith(store);
    const artifact = page.publish(bytesOf(1, 2, 3), sent);
    await expect(page.get(artifact)).rejects.toMatchObject({
      code: 'MESH_ARTIFACT_CORRUPT',
      message: expect.stringContaining(complaint),
    });
    expect(store.files.size).toBe(0);
    expect(page.complaints).toEqual([]);
  });

  test('after a corrupt download the next call downloads again', async () => {
    const page = pageWith(new SmallStore());
    const artifact = page.publish(bytesOf(1, 2, 3), bytesOf(3, 2, 1));
    await expect(page.get(artifact)).rejects.toMatchObject({ code: 'MESH_ARTIFACT_CORRUPT' });
    page.publish(bytesOf(1, 2, 3));
    expect(await page.get(artifact)).toEqual(bytesOf(1, 2, 3));
  });

  test('a body that breaks off is a network error, an aborted one the reason of the caller', async () => {
    const broken = (reason: unknown) =>
      new ReadableStream({ pull: (controller) => controller.error(reason) });
    const caller = new AbortController();
    const artifact = artifactOf(bytesOf(1, 2, 3));
    const cacheOf = (artifactResponse: () => Response) =>
      new ArtifactCache({
        openStore: async () => new SmallStore(),
        onMemoryOnly: () => undefined,
        api: { artifact: async () => artifactResponse() },
      });
    const interrupted = cacheOf(() => new Response(broken(new TypeError('terminated'))));
    await expect(interrupted.get(artifact)).rejects.toMatchObject({ code: 'MESH_NETWORK' });
    const aborted = cacheOf(() => {
      caller.abort(new Error('gone'));
      return new Response(broken(caller.signal.reason));
    });
    await expect(aborted.get(artifact, { signal: caller.signal })).rejects.toThrow('gone');
  });

  test('callers at the same time share a download', async () => {
    const page = pageWith(new SmallStore());
    const artifact = page.publish(bytesOf(1, 2, 3));
    const [first, second] = await Promise.all([page.get(artifact), page.get({ ...artifact, path: 'other' })]);
    expect(first).toEqual(second);
    expect(page.downloads).toEqual([artifact.sha256]);
  });

  test('serves what is stored without a download, and tells that all of it is here', async () => {
    const store = new SmallStore();
    const earlier = pageWith(store);
    const artifact = earlier.publish(bytesOf(1, 2, 3));
    await earlier.get(artifact);

    const later = pageWith(store);
    const loaded: number[] = [];
    expect(await later.get(artifact, { onLoaded: (bytes) => loaded.push(bytes) })).toEqual(bytesOf(1, 2, 3));
    expect(loaded).toEqual([3]);
    expect(later.downloads).toEqual([]);
  });

  test('tells whether a file came from the mesh just now', async () => {
    const page = new Page(() => Promise.reject(new Error('no store')));
    const artifact = page.publish(bytesOf(1, 2, 3));
    expect((await page.cache.get(artifact)).isDownloaded).toBe(true);
    expect((await page.cache.get(artifact)).isDownloaded).toBe(false);
    const store = new SmallStore();
    store.files.set(artifact.sha256, bytesOf(1, 2, 3));
    expect((await pageWith(store).cache.get(artifact)).isDownloaded).toBe(false);
  });

  test('a stored file with wrong bytes is removed and downloaded again', async () => {
    const store = new SmallStore();
    const page = pageWith(store);
    const artifact = page.publish(bytesOf(1, 2, 3));
    store.files.set(artifact.sha256, bytesOf(6, 6, 6));
    expect(await page.get(artifact)).toEqual(bytesOf(1, 2, 3));
    expect(page.downloads).toEqual([artifact.sha256]);
    expect(store.files.get(artifact.sha256)).toEqual(bytesOf(1, 2, 3));
  });

  test('a wrong stored file is gone even when it cannot be downloaded again', async () => {
    const store = new SmallStore();
    const page = pageWith(store);
    const artifact = artifactOf(bytesOf(1, 2, 3));
    store.files.set(artifact.sha256, bytesOf(6, 6, 6));
    await expect(page.get(artifact)).rejects.toMatchObject({ code: 'MESH_UNKNOWN_ARTIFACT' });
    expect(store.files.size).toBe(0);
  });

  test('a full store makes room by removing what was used longest ago', async () => {
    const store = new SmallStore(6);
    const page = pageWith(store);
    const [a, b, c] = [bytesOf(1, 1), bytesOf(2, 2), bytesOf(3, 3, 3)].map((bytes) => page.publish(bytes));
    await page.get(a as Artifact);
    await page.get(b as Artifact);
    await page.get(a as Artifact);
    await page.get(c as Artifact);
    expect([...store.files.keys()]).toEqual([a?.sha256, c?.sha256]);
    expect(page.cache.isMemoryOnly).toBe(false);
  });

  test('a file that no room can be made for stays in memory, which is told once', async () => {
    const page = pageWith(new SmallStore(2));
    const first = page.publish(bytesOf(1, 2, 3));
    const second = page.publish(bytesOf(4, 5, 6));
    await page.get(first);
    await page.get(second);
    expect(await page.get(first)).toEqual(bytesOf(1, 2, 3));
    expect(page.downloads).toEqual([first.sha256, second.sha256]);
    expect(page.cache.isMemoryOnly).toBe(true);
    expect(page.complaints).toEqual(['QuotaExceededError: No room']);
  });

  test('the quota error may come wrapped, as Dexie does it', async () => {
    const store = new SmallStore(4);
    const write = store.write.bind(store);
    store.write = (sha256, bytes) =>
      write(sha256, bytes).catch((inner: unknown) => {
        throw Object.assign(new Error('Dexie'), { name: 'AbortError', inner });
      });
    const page = pageWith(store);
    const first = page.publish(bytesOf(1, 2, 3));
    const second = page.publish(bytesOf(4, 5, 6));
    await page.get(first);
    await page.get(second);
    expect([...store.files.keys()]).toEqual([second.sha256]);
    expect(page.complaints).toEqual([]);
  });

  test('a store that cannot be opened leaves the files in memory, which is told once', async () => {
    const page = new Page(() => Promise.reject(new DOMException('Not here', 'SecurityError')));
    const artifact = page.publish(bytesOf(1, 2, 3));
    await page.get(artifact);
    expect(await page.get(artifact)).toEqual(bytesOf(1, 2, 3));
    expect(page.downloads).toHaveLength(1);
    expect(page.cache.isMemoryOnly).toBe(true);
    expect(page.complaints).toEqual(['SecurityError: Not here']);
    await page.cache.close();
  });

  test('a store that cannot be read is no reason to fail, and is told once', async () => {
    const store = new SmallStore();
    store.read = () => Promise.reject(new Error('unreadable'));
    const page = pageWith(store);
    for (const bytes of [bytesOf(1, 2, 3), bytesOf(4, 5, 6)]) {
      expect(await page.get(page.publish(bytes))).toEqual(bytes);
    }
    expect(page.complaints).toEqual(['Error: unreadable']);
  });

  test('the store is opened on the first use only, and closed with the cache', async () => {
    const store = new SmallStore();
    let opened = 0;
    const page = new Page(async () => {
      opened += 1;
      return store;
    });
    expect(opened).toBe(0);
    await page.get(page.publish(bytesOf(1)));
    await page.get(page.publish(bytesOf(2)));
    expect(opened).toBe(1);
    await page.cache.close();
    expect(store.isClosed).toBe(true);
  });
});
