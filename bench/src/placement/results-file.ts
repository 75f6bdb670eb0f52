import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { JobRecord } from './records.ts';

/** What was done before, and where what is done goes: a line of JSON for each finished job. */
export interface ResultsFile {
  readonly done: ReadonlyMap<string, JobRecord>;
  append(id: string, record: JobRecord): void;
}

/**
 * Opens a results file, which need not be there yet; without a name nothing is kept. A last line that was cut off, as by an
 * interrupted run, is removed and its job done again; of two lines of one job the later counts.
 *
 * @throws Error that names the line when one is not a record.
 */
export function openResults(file: string | undefined): ResultsFile {
  const done = new Map<string, JobRecord>();
  if (file === undefined) return { done, append: () => undefined };
  mkdirSync(dirname(file), { recursive: true });
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const lines = text.split('\n');
  // What comes after the last line break was cut off.
  const cutOff = lines.pop() ?? '';
  for (const [index, line] of lines.entries()) {
    try {
      const { id, record } = JSON.parse(line) as { readonly id: string; readonly record: JobRecord };
      done.set(id, record);
    } catch (cause) {
      throw new Error(`Expected line ${index + 1} of the results "${file}" to be JSON of a finished job`, {
        cause,
      });
    }
  }
  if (cutOff !== '') writeFileSync(file, text.slice(0, text.length - cutOff.length));
  return { done, append: (id, record) => appendFileSync(file, `${JSON.stringify({ id, record })}\n`) };
}
