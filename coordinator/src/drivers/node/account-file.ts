import { open } from 'node:fs/promises';
import type { AccountLog } from '@nearfar/core';
import type { Log } from '../../options.ts';

/** Lines that are kept while the file cannot be written; beyond them the oldest are dropped. */
const MAX_WAITING = 100_000;
/** Lines of one write: joining more would hold up the requests. */
const BATCH_LINES = 1_000;

/**
 * Account records as lines of JSON, appended to `path` in batches: a request never waits for the disk.
 *
 * A batch that could not be written is tried again with the next record, with `flush` and once more with `close`, in the
 * order of the records; `flush` and `close` resolve also when it fails again. Up to 100,000 records are kept meanwhile.
 */
export function openAccountFile(path: string, log: Log): AccountLog {
  let waiting: string[] = [];
  let writing: Promise<void> | undefined;
  let isFailing = false;
  let dropped = 0;

  const keepWithinBound = () => {
    if (waiting.length <= MAX_WAITING) return;
    if (dropped === 0) log('error', 'the oldest account records are being dropped', { kept: MAX_WAITING });
    dropped += waiting.splice(0, waiting.length - MAX_WAITING).length;
  };
  const drain = async () => {
    while (waiting.length > 0) {
      const lines = waiting.splice(0, BATCH_LINES);
      try {
        await appendWhole(path, lines.join(''));
      } catch (error) {
        waiting = lines.concat(waiting);
        keepWithinBound();
        // Every record tries again, so only the first failure of a row is worth a line.
        if (!isFailing) log('error', 'account records were not written', { error: String(error) });
        isFailing = true;
        break;
      }
      if (isFailing || dropped > 0) log('warn', 'account records are written again', { dropped });
      isFailing = false;
      dropped = 0;
    }
    writing = undefined;
  };
  const flush = async () => {
    await writing;
    if (waiting.length === 0) return;
    writing ??= drain();
    await writing;
  };
  return {
    append: (record) => {
      waiting.push(`${JSON.stringify(record)}\n`);
      keepWithinBound();
      // Begins in a microtask, so that what is booked in one turn is written at once.
      writing ??= Promise.resolve().then(drain);
    },
    flush,
    close: async () => {
      await flush();
      const lost = waiting.length + dropped;
      if (lost > 0) log('error', 'account records are lost', { records: lost });
    },
  };
}

/** Appends all of `text`, or leaves the file as it was: half a line would spoil the record after it. */
async function appendWhole(path: string, text: string): Promise<void> {
  const file = await open(path, 'a', 0o600);
  try {
    const { size } = await file.stat();
    try {
      await file.appendFile(text);
    } catch (error) {
      await file.truncate(size);
      throw error;
    }
  } finally {
    await file.close();
  }
}
