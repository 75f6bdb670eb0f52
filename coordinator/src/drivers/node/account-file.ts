import { appendFile } from 'node:fs/promises';
import type { AccountLog } from '@nearfar/core';
import type { Log } from '../../options.ts';

/** Account records as lines of JSON, appended to `path` in batches: a request never waits for the disk. */
export function openAccountFile(path: string, log: Log): AccountLog {
  let waiting: string[] = [];
  let writing: Promise<void> | undefined;
  const drain = async () => {
    while (waiting.length > 0) {
      const lines = waiting;
      waiting = [];
      try {
        await appendFile(path, lines.join(''), { mode: 0o600 });
      } catch (error) {
        log('error', 'account records were not written', { records: lines.length, error: String(error) });
      }
    }
    writing = undefined;
  };
  const flush = async () => {
    while (writing !== undefined) await writing;
  };
  return {
    append: (record) => {
      waiting.push(`${JSON.stringify(record)}\n`);
      // Begins in a microtask, so that what is booked in one turn is written at once.
      writing ??= Promise.resolve().then(drain);
    },
    flush,
    close: flush,
  };
}
