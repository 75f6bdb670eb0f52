import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { JobRecord } from './records.ts';

/** What was done before, and where what is done goes: a line of JSON for each finished job. */
export interface ResultsFile {
  readonly done: ReadonlyMap<string, JobRecord>;
  append(id: string, record: JobRecord): void;
}

/**
 * Opens a results file, which need not be there yet; without a name nothing is kept. A last line that was cut off, as by an
 * interrupted run, is left out and its job done again; of two lines of one job the later counts.
 *
 * @throws Error that names the line when one in the middle is not a record.
 */
export function openResults(file: string | undefined): ResultsFile {
  const done = new Map<string, JobRecord>();
  if (file === undefined) return { done, append: () => undefined };
  mkdirSync(dirname(file), { recursive: true });
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const lines = text.split('\n');
  for (const [index, line] of lines.entries()) {
    if (line === '') continue;
    try {
      const { id, record } = JSON.parse(line) as { readonly id: string; readonly record: JobRecord };
      done.set(id, record);
    } catch (cause) {
      if (index === lines.length - 1) break;
      throw new Error(`Expected line ${index + 1} of the results "${file}" to be JSON of a finished job`, {
        cause,
      });
    }
  }
  // What was cut off must not run into the next line.
  if (text !== '' && !text.endsWith('\n')) appendFileSync(file, '\n');
  return { done, append: (id, record) => appendFileSync(file, `${JSON.stringify({ id, record })}\n`) };
}
