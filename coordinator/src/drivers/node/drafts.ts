import { createHash, type Hash, randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { LIMITS, MeshError } from '@nearfar/protocol';
import { artifactTooLarge } from '../memory.ts';

/** A draft that nobody has written to for this long is nobody's any more. */
const ABANDONED_AFTER_MS = 3_600_000;

/** Bytes that are hashed at one go; between them the event loop goes on. */
const SLICE_BYTES = 1024 * 1024;

/** What the system says when there is no room: on the disk, in the quota, in the largest file that the process may write. */
const NO_ROOM: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** A file that is being written. */
export interface Draft {
  readonly path: string;
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** A folder of files that are not whole yet. A name says which process of which host writes it. */
export class Drafts {
  readonly #folder: string;
  readonly #host = createHash('sha256').update(hostname()).digest('hex').slice(0, 12);
  readonly #swept: Promise<void>;

  /** Opens the folder and begins to sweep it. `now` is the wall time in milliseconds. */
  constructor(folder: string, now: number) {
    this.#folder = folder;
    this.#swept = this.#sweep(now);
    // Whoever writes next is told; nobody else waits for it.
    this.#swept.catch(() => undefined);
  }

  /** A name for a new draft; the folder exists after this. */
  async create(): Promise<string> {
    await this.#swept;
    await mkdir(this.#folder, { recursive: true });
    return join(this.#folder, `${this.#host}-${process.pid}-${randomUUID()}`);
  }

  /**
   * Writes `content` to a draft, durably. The caller moves or removes it.
   *
   * @throws MeshError `MESH_STORAGE_FULL` or `MESH_BODY_TOO_LARGE`; nothing is left then.
   */
  async write(content: Uint8Array | AsyncIterable<Uint8Array>): Promise<Draft> {
    const path = await this.create().catch(throwNoRoom);
    const hash = createHash('sha256');
    try {
      const file = await open(path, 'wx');
      try {
        const sizeBytes = await writeParts(file, hash, content);
        await file.sync();
        return { path, sha256: hash.digest('hex'), sizeBytes };
      } finally {
        await file.close();
      }
    } catch (error) {
      await rm(path, { force: true });
      return throwNoRoom(error);
    }
  }

  /** Waits for the sweeping. */
  async close(): Promise<void> {
    await this.#swept.catch(() => undefined);
  }

  /**
   * Removes what killed processes left: drafts of a process of this host that is no more, and those that nobody has
   * written to for an hour, whoever made them. One that is being written belongs to a process that lives, or is younger.
   */
  async #sweep(now: number): Promise<void> {
    for (const name of await readdir(this.#folder).catch(nothingWhereMissing)) {
      const path = join(this.#folder, name);
      const writtenAt = (await stat(path).catch(() => undefined))?.mtimeMs ?? now;
      if (now - writtenAt > ABANDONED_AFTER_MS || this.#isOrphan(name)) await rm(path, { force: true });
    }
  }

  #isOrphan(name: string): boolean {
    const [, host, pid] = /^([0-9a-f]{12})-(\d{1,10})-/.exec(name) ?? [];
    return host === this.#host && !isAlive(Number(pid));
  }
}

async function writeParts(
  file: FileHandle,
  hash: Hash,
  content: Uint8Array | AsyncIterable<Uint8Array>,
): Promise<number> {
  let sizeBytes = 0;
  for await (const part of content instanceof Uint8Array ? [content] : content) {
    for (let start = 0; start < part.byteLength; start += SLICE_BYTES) {
      const slice = part.subarray(start, start + SLICE_BYTES);
      sizeBytes += slice.byteLength;
      if (sizeBytes > LIMITS.maxArtifactBytes) throw artifactTooLarge();
      hash.update(slice);
      await writeAll(file, slice);
    }
  }
  return sizeBytes;
}

/** A disk that is almost full takes a part of the bytes and refuses the rest only when asked again. */
async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  let written = 0;
  while (written < bytes.byteLength) {
    written += (await file.write(bytes, written)).bytesWritten;
  }
}

/** Throws `error`, as `MESH_STORAGE_FULL` where it says that there is no room. */
export function throwNoRoom(cause: unknown): never {
  const code = (cause as NodeJS.ErrnoException | null)?.code ?? '';
  if (!NO_ROOM.has(code)) throw cause;
  throw new MeshError(
    'MESH_STORAGE_FULL',
    `There is no room for the file (${code}): free some and try again`,
    {
      cause,
    },
  );
}

function nothingWhereMissing(error: unknown): string[] {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
  throw error;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It lives, and is somebody else's.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
