import { type Artifact, MeshError } from '@nearfar/protocol';
import type { Api } from './api.ts';
import type { ByteStore } from './byte-store.ts';
import { download } from './download.ts';
import { SharedCalls } from './shared-calls.ts';

/** What the cache is built from. */
export interface ArtifactCacheOptions {
  readonly api: Pick<Api, 'artifact'>;
  /** Opens what outlives the page; a rejection makes the cache keep files in memory. */
  readonly openStore: () => Promise<ByteStore>;
  /** Called once, when files turn out not to outlive the page. */
  readonly onMemoryOnly: (reason: string) => void;
}

/** A file of the cache. */
export interface CachedFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Whether it came from the mesh just now, and not from the browser's store or the page's memory. */
  readonly isDownloaded: boolean;
}

/** How a caller waits for a file. */
export interface ArtifactRequest {
  readonly signal?: AbortSignal | undefined;
  /** Bytes of this file that are here so far. */
  readonly onLoaded?: ((loadedBytes: number) => void) | undefined;
}

/**
 * Files of variants, by what they contain. Every file is checked against its SHA-256 before it is given out, whether
 * it came from the mesh or from the browser's store. When the store is full, the files that were used longest ago give
 * way; when that does not help, or there is no store, files stay in memory until the page goes.
 */
export class ArtifactCache {
  readonly #options: ArtifactCacheOptions;
  readonly #downloads = new SharedCalls<CachedFile, number>();
  readonly #memory = new Map<string, Uint8Array<ArrayBuffer>>();
  #store: Promise<ByteStore | undefined> | undefined;
  #isMemoryOnly = false;

  constructor(options: ArtifactCacheOptions) {
    this.#options = options;
  }

  /** Whether files live only as long as the page. */
  get isMemoryOnly(): boolean {
    return this.#isMemoryOnly;
  }

  /**
   * A file. Callers that want the same one at the same time share its download; one that breaks off goes on where it
   * stopped.
   *
   * @throws MeshError `MESH_ARTIFACT_CORRUPT` when the mesh sent other bytes than it announced, `MESH_NETWORK` when it
   * breaks off again and again.
   */
  async get(artifact: Artifact, { signal, onLoaded }: ArtifactRequest = {}): Promise<CachedFile> {
    return await this.#downloads.join(artifact.sha256, { signal, onUpdate: onLoaded }, (shared, update) =>
      this.#load(artifact, shared, update),
    );
  }

  async close(): Promise<void> {
    this.#memory.clear();
    (await this.#store)?.close();
  }

  async #load(
    artifact: Artifact,
    signal: AbortSignal,
    update: (loadedBytes: number) => void,
  ): Promise<CachedFile> {
    const { sha256, sizeBytes } = artifact;
    const known = this.#memory.get(sha256) ?? (await this.#readStored(sha256));
    if (known !== undefined) {
      update(sizeBytes);
      return { bytes: known, isDownloaded: false };
    }
    const bytes = await download(this.#options.api, artifact, signal, update);
    if ((await digest(bytes)) !== sha256) {
      throw new MeshError('MESH_ARTIFACT_CORRUPT', `Artifact "${artifact.path}" is not what it should be`, {
        details: { sha256 },
      });
    }
    await this.#keep(sha256, bytes);
    return { bytes, isDownloaded: true };
  }

  async #readStored(sha256: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const store = await this.#openStore();
    try {
      const bytes = await store?.read(sha256);
      if (bytes === undefined || (await digest(bytes)) === sha256) return bytes;
      await store?.remove(sha256);
    } catch (error) {
      this.#fallBack(error);
    }
    return undefined;
  }

  /** Stores the bytes, making room as long as that helps. */
  async #keep(sha256: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const store = this.#isMemoryOnly ? undefined : await this.#openStore();
    if (store === undefined) {
      this.#memory.set(sha256, bytes);
      return;
    }
    try {
      for (;;) {
        try {
          await store.write(sha256, bytes);
          return;
        } catch (error) {
          if (!isQuotaError(error) || !(await store.removeOldest(new Set([sha256])))) throw error;
        }
      }
    } catch (error) {
      this.#fallBack(error);
      this.#memory.set(sha256, bytes);
    }
  }

  #openStore(): Promise<ByteStore | undefined> {
    this.#store ??= this.#options.openStore().catch((error: unknown) => {
      this.#fallBack(error);
      return undefined;
    });
    return this.#store;
  }

  #fallBack(error: unknown): void {
    if (this.#isMemoryOnly) return;
    this.#isMemoryOnly = true;
    this.#options.onMemoryOnly(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
  }
}

/** The SHA-256 of `bytes` in lower-case hexadecimal. */
async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Dexie wraps the browser's error; both spell the same name. */
function isQuotaError(error: unknown): boolean {
  const { name, inner } = (error ?? {}) as { name?: string; inner?: { name?: string } };
  return name === 'QuotaExceededError' || inner?.name === 'QuotaExceededError';
}
