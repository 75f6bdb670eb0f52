import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MeshError } from '@nearfar/protocol';

/**
 * Results of registration steps by what they were made from. A registration that was cut off goes on where it stopped, and
 * one that is run again costs little: each step asks here first.
 */
export interface Journal {
  /** The result of a step, or undefined when it was never finished. */
  find(key: string): Promise<unknown>;
  /** Keeps a result. Atomic. */
  keep(key: string, result: unknown): Promise<void>;
}

/** The key of a step: its name, its version and everything that its result depends on. */
export function stepKey(step: string, ...inputs: readonly (string | number | boolean | undefined)[]): string {
  return createHash('sha256')
    .update(JSON.stringify([step, ...inputs]))
    .digest('hex');
}

/** A result that nobody asked for in so long is forgotten: models and data change, and each change leaves results behind. */
const KEPT_FOR_MS = 30 * 24 * 3_600_000;
/** A draft this old is what a killed process left. */
const DRAFT_FOR_MS = 3_600_000;

/** A journal as one small JSON file a step. `now` is the wall time in milliseconds, by which old results are forgotten. */
export function openJournal(folder: string, now: number = Date.now()): Journal {
  const pathOf = (key: string) => join(folder, `${key}.json`);
  // What cannot be swept, or is swept by another process just now, is left to the next opening.
  const swept = sweep(folder, now).catch(() => undefined);
  return {
    find: async (key) => {
      await swept;
      try {
        const result = JSON.parse(await readFile(pathOf(key), 'utf8'));
        // It is in use, and so is not forgotten soon. Where the folder may only be read, nothing is forgotten either.
        await utimes(pathOf(key), now / 1_000, now / 1_000).catch(() => undefined);
        return result;
      } catch {
        return undefined; // Never kept, or not readable: the step is done again.
      }
    },
    keep: async (key, result) => {
      const draft = `${pathOf(key)}.${randomUUID()}`;
      try {
        await mkdir(folder, { recursive: true });
        await writeFile(draft, JSON.stringify(result), { flush: true });
        await rename(draft, pathOf(key));
      } catch (cause) {
        await rm(draft, { force: true });
        throw storageError(cause);
      }
    },
  };
}

async function sweep(folder: string, now: number): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const age = now - (await stat(path)).mtimeMs;
    if (age > (name.endsWith('.json') ? KEPT_FOR_MS : DRAFT_FOR_MS)) await rm(path, { force: true });
  }
}

/** What a failed write means to whoever registers. */
function storageError(cause: unknown): unknown {
  const code = (cause as NodeJS.ErrnoException | null)?.code;
  if (code !== 'ENOSPC' && code !== 'EDQUOT' && code !== 'EFBIG') return cause;
  const message =
    'There is no room left for the registration; free some space and run it again, it goes on from here';
  return new MeshError('MESH_STORAGE_FULL', message, { cause });
}
