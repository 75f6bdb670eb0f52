import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AccountRecord } from '@nearfar/core';

/**
 * How many requests of `subject` reached a worker, by the mesh's own books: one record for each request that was
 * placed, whatever became of it. What pages say that they did by themselves is not counted.
 */
export async function countRemoteRequests(stateDirectory: string, subject: string): Promise<number> {
  const lines = (await readFile(join(stateDirectory, 'accounts.jsonl'), 'utf8')).split('\n');
  return lines
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AccountRecord)
    .filter((record) => record.subject === subject && record.source === 'measured').length;
}
