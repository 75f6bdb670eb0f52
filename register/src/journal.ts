import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
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

/** A journal as one small JSON file a step. */
export function openJournal(folder: string): Journal {
  const pathOf = (key: string) => join(folder, `${key}.json`);
  return {
    find: async (key) => {
      try {
        return JSON.parse(await readFile(pathOf(key), 'utf8'));
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

/** What a failed write means to whoever registers. */
function storageError(cause: unknown): unknown {
  const code = (cause as NodeJS.ErrnoException | null)?.code;
  if (code !== 'ENOSPC' && code !== 'EDQUOT' && code !== 'EFBIG') return cause;
  const message =
    'There is no room left for the registration; free some space and run it again, it goes on from here';
  return new MeshError('MESH_STORAGE_FULL', message, { cause });
}
