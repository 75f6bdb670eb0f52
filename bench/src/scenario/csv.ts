import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { CsvError, parse } from 'csv-parse';
import { badScenario, type Spot } from './bad-scenario.ts';

/** The largest file that is read, and the most lines: a day of 1,000 requests a second is 86 million, a tenth of it fits. */
export const MAX_CSV_BYTES = 512 * 1024 * 1024;
const MAX_CSV_ROWS = 10_000_000;
/** No line of ours is near this; a file without line ends is given up here. */
const MAX_LINE_BYTES = 64 * 1024;

/** One line of a CSV file, by the names of its header. */
export class CsvRow {
  readonly #cells: Readonly<Record<string, string | undefined>>;
  readonly #file: string;
  readonly line: number;

  constructor(file: string, line: number, cells: Readonly<Record<string, string | undefined>>) {
    this.#file = file;
    this.line = line;
    this.#cells = cells;
  }

  spot(field?: string): Spot {
    return { file: this.#file, line: this.line, ...(field !== undefined && { field }) };
  }

  /** A cell with something in it. */
  text(field: string): string {
    const text = this.#cells[field] ?? '';
    if (text === '') throw badScenario(this.spot(field), 'Expected a value, found nothing');
    return text;
  }

  /** A number from `least` (0) to `most`; undefined where the cell is empty. */
  optional(field: string, bounds: Bounds = {}): number | undefined {
    return (this.#cells[field] ?? '') === '' ? undefined : this.number(field, bounds);
  }

  number(field: string, { least = 0, most = Number.MAX_VALUE, isWhole = false }: Bounds = {}): number {
    const text = this.text(field);
    const value = Number(text);
    if (Number.isFinite(value) && value >= least && value <= most && (!isWhole || Number.isInteger(value))) {
      return value;
    }
    const kind = isWhole ? 'a whole number' : 'a number';
    const range = most === Number.MAX_VALUE ? `from ${least}` : `from ${least} to ${most}`;
    throw badScenario(this.spot(field), `Expected ${kind} ${range}, found "${text}"`);
  }
}

export interface Bounds {
  readonly least?: number;
  readonly most?: number;
  readonly isWhole?: boolean;
}

/**
 * Reads a CSV file line by line, so that its size does not matter to memory; one that is larger than `MAX_CSV_BYTES` is
 * refused before it is read. A wrong count of cells, a missing column and bad quoting are errors with file and line.
 */
export async function* readCsv(
  file: string,
  columns: { readonly required: readonly string[]; readonly optional?: readonly string[] },
): AsyncGenerator<CsvRow> {
  const handle = await openFile(file);
  const source = createReadStream(file, { fd: handle, highWaterMark: 256 * 1024 });
  const parser = parse({
    bom: true,
    columns: (header: string[]) => checkHeader(file, header, columns),
    info: true,
    trim: true,
    skip_empty_lines: true,
    max_record_size: MAX_LINE_BYTES,
  });
  let bytes = 0;
  source.on('data', (chunk) => {
    bytes += chunk.length;
    if (bytes > MAX_CSV_BYTES) source.destroy(tooLarge(file));
  });
  source.on('error', (error) => parser.destroy(error));
  source.pipe(parser);
  let rows = 0;
  try {
    for await (const { record, info } of parser as AsyncIterable<ParsedLine>) {
      rows += 1;
      if (rows > MAX_CSV_ROWS) {
        throw badScenario(
          { file, line: info.lines },
          `Expected at most ${MAX_CSV_ROWS.toLocaleString('en')} lines`,
        );
      }
      yield new CsvRow(file, info.lines, record);
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const line = typeof error.lines === 'number' ? error.lines : undefined;
    throw badScenario({ file, ...(line !== undefined && { line }) }, error.message, error);
  } finally {
    source.destroy();
    parser.destroy();
  }
  if (bytes === 0) throw badScenario({ file, line: 1 }, 'Expected a header, found nothing');
}

interface ParsedLine {
  readonly record: Readonly<Record<string, string | undefined>>;
  readonly info: { readonly lines: number };
}

async function openFile(file: string): Promise<FileHandle> {
  let handle: FileHandle;
  try {
    handle = await open(file);
  } catch (cause) {
    throw badScenario({ file }, `Cannot read the file: ${(cause as Error).message}`, cause);
  }
  const stat = await handle.stat();
  const isBad = stat.isDirectory() || stat.size > MAX_CSV_BYTES;
  if (!isBad) return handle;
  await handle.close();
  if (stat.isDirectory()) throw badScenario({ file }, 'Expected a file, found a folder');
  throw tooLarge(file, stat.size);
}

function tooLarge(file: string, bytes?: number): Error {
  const found = bytes === undefined ? 'found more' : `found ${Math.ceil(bytes / 1024 / 1024)} MiB`;
  return badScenario({ file }, `Expected at most ${MAX_CSV_BYTES / 1024 / 1024} MiB, ${found}`);
}

function checkHeader(
  file: string,
  header: readonly string[],
  {
    required,
    optional = [],
  }: { readonly required: readonly string[]; readonly optional?: readonly string[] },
): string[] {
  const names = header.map((name) => name.trim());
  for (const column of required) {
    if (names.includes(column)) continue;
    throw badScenario(
      { file, line: 1, field: column },
      `Expected the columns ${required.join(',')}, found ${names.join(',')}`,
    );
  }
  for (const [index, column] of names.entries()) {
    if (names.indexOf(column) === index && [...required, ...optional].includes(column)) continue;
    const problem = names.indexOf(column) === index ? 'Unknown column' : 'The column is there twice';
    throw badScenario({ file, line: 1, field: column }, problem);
  }
  return names;
}
