import { createReadStream, createWriteStream } from 'node:fs';
import { rename, rm, stat, truncate } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { constants, createBrotliCompress, createGzip } from 'node:zlib';
import type { ContentEncoding } from '@nearfar/core';
import type { Drafts } from './drafts.ts';

/** Share of a file that its packed form has at most; otherwise unpacking is not worth it. */
const MAX_PACKED_SHARE = 0.95;

/** Smaller files are sent as they are: the answer's head is as long. */
const MIN_BYTES = 1_024;

/** Whoever asks first for a file up to this size waits until it is packed (0.1 s); a larger one is packed meanwhile. */
const MAX_AWAITED_BYTES = 16 * 1024 * 1024;

/** Weights hardly shrink, however hard one tries: quality 9 takes four times as long as 5 for a ten-thousandth less. */
const BROTLI_QUALITY = 5;

const SUFFIX = { br: '.br', gzip: '.gz' } as const;

/**
 * Packed forms beside the files, made once, by zlib's threads. An empty one says that packing does not pay.
 */
export class PackedFiles {
  readonly #drafts: Drafts;
  readonly #making = new Map<string, Promise<void>>();
  readonly #closing = new AbortController();
  /** Whoever waits for a small file does not wait for large ones, which take up to a minute. */
  readonly #turns = { small: Promise.resolve(), large: Promise.resolve() };

  constructor(drafts: Drafts) {
    this.#drafts = drafts;
  }

  /** The packed form of the file at `path`, or undefined when there is none that pays, or none yet. */
  async find(
    path: string,
    sizeBytes: number,
    encoding: ContentEncoding,
  ): Promise<{ readonly path: string; readonly sizeBytes: number } | undefined> {
    if (sizeBytes < MIN_BYTES) return undefined;
    const packed = path + SUFFIX[encoding];
    let packedBytes = await sizeOf(packed);
    if (packedBytes === undefined) {
      const made = this.#make(path, packed, sizeBytes, encoding);
      if (sizeBytes > MAX_AWAITED_BYTES) return undefined;
      await made;
      packedBytes = await sizeOf(packed);
    }
    return packedBytes === undefined || packedBytes === 0
      ? undefined
      : { path: packed, sizeBytes: packedBytes };
  }

  /** Removes the packed forms of a file, also one that is being made. */
  async delete(path: string): Promise<void> {
    for (const suffix of Object.values(SUFFIX)) {
      await this.#making.get(path + suffix);
      await rm(path + suffix, { force: true });
    }
  }

  /** Gives up what is being made. May be called twice. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#making.values());
  }

  /**
   * Packs one small and one large file at a time. Never rejects: a file that could not be packed is sent as it is, and tried
   * again later.
   */
  #make(path: string, packed: string, sizeBytes: number, encoding: ContentEncoding): Promise<void> {
    const known = this.#making.get(packed);
    if (known !== undefined) return known;
    const queue = sizeBytes > MAX_AWAITED_BYTES ? 'large' : 'small';
    const made = this.#turns[queue]
      .then(() => this.#pack(path, packed, sizeBytes, encoding))
      .catch(() => undefined)
      .finally(() => this.#making.delete(packed));
    this.#turns[queue] = made;
    this.#making.set(packed, made);
    return made;
  }

  async #pack(path: string, packed: string, sizeBytes: number, encoding: ContentEncoding): Promise<void> {
    this.#closing.signal.throwIfAborted();
    const draft = await this.#drafts.create();
    try {
      const packer =
        encoding === 'gzip'
          ? createGzip()
          : createBrotliCompress({
              params: {
                [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY,
                [constants.BROTLI_PARAM_SIZE_HINT]: sizeBytes,
              },
            });
      const { signal } = this.#closing;
      await pipeline(createReadStream(path), packer, createWriteStream(draft, { flush: true }), { signal });
      const { size } = await stat(draft);
      if (size > sizeBytes * MAX_PACKED_SHARE) await truncate(draft, 0);
      await rename(draft, packed);
    } finally {
      await rm(draft, { force: true });
    }
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
