import { createUniform, STREAMS } from '../random.ts';
import { badScenario } from './bad-scenario.ts';
import { readCsv } from './csv.ts';
import type { Arrival } from './scenario.ts';
import type { TraceSource } from './schema.ts';

/** Requests of a run; more do not fit into memory beside each other. */
const MAX_ARRIVALS = 20_000_000;

const LONGEST_MS = 366 * 86_400_000;

/** A trace as it was read: arrivals that rise, and how long it lasts. */
export interface Trace {
  readonly arrivals: Arrival[];
  readonly durationMs: number;
}

/**
 * Reads the arrivals of a trace file, cut to its window and moved to the start of the run.
 *
 * `scale` multiplies the rate. Of `counts-per-second` the count is multiplied and a fraction left over is one more request
 * with that probability. Of single arrivals each becomes ⌊scale⌋ and one more with the probability of the rest; the copies
 * fall anywhere between the arrival and the next, so that bursts stay where they are. `file` is the resolved path.
 */
export async function readTrace(
  file: string,
  source: Exclude<TraceSource, { format: 'gamma' }>,
  seed: number,
): Promise<Trace> {
  const { format, fromSeconds, toSeconds = Number.POSITIVE_INFINITY } = source;
  if (toSeconds <= fromSeconds) {
    throw badScenario(
      { file, field: 'toSeconds' },
      `Expected more than fromSeconds, ${fromSeconds}, found ${toSeconds}`,
    );
  }
  const window = { fromMs: fromSeconds * 1_000, toMs: toSeconds * 1_000 };
  const trace =
    format === 'counts-per-second'
      ? await readCounts(file, window, source.scale, seed)
      : await readArrivals(file, format, window, source.scale, seed);
  if (trace.arrivals.length > 0) return trace;
  throw badScenario(
    { file },
    fromSeconds > 0 || toSeconds < Number.POSITIVE_INFINITY
      ? `Expected at least one arrival from ${fromSeconds} to ${toSeconds} s, found none`
      : 'Expected at least one arrival, found none',
  );
}

interface Window {
  readonly fromMs: number;
  readonly toMs: number;
}

async function readCounts(
  file: string,
  { fromMs, toMs }: Window,
  scale: number,
  seed: number,
): Promise<Trace> {
  const random = createUniform(seed, STREAMS.arrivals);
  const arrivals: Arrival[] = [];
  let before = -1;
  let endMs = fromMs;
  for await (const row of readCsv(file, { required: ['t_s', 'rps'] })) {
    const second = row.number('t_s', { most: LONGEST_MS / 1_000 });
    const perSecond = row.number('rps');
    if (second <= before) {
      throw badScenario(row.spot('t_s'), `Expected more than ${before}, the line before, found ${second}`);
    }
    before = second;
    const startMs = second * 1_000;
    if (startMs < fromMs) continue;
    if (startMs >= toMs) break;
    const count = whole(perSecond * scale, random());
    checkCount(row.spot('rps'), arrivals.length + count);
    for (const offset of sortedUniforms(count, random)) {
      arrivals.push({ arrivalMs: startMs - fromMs + offset * 1_000 });
    }
    endMs = startMs + 1_000;
  }
  return { arrivals, durationMs: endMs - fromMs };
}

async function readArrivals(
  file: string,
  format: 'arrivals-ms' | 'timestamps',
  { fromMs, toMs }: Window,
  scale: number,
  seed: number,
): Promise<Trace> {
  const random = createUniform(seed, STREAMS.thinning);
  const arrivals: Arrival[] = [];
  const column = format === 'arrivals-ms' ? 'arrival_ms' : 'TIMESTAMP';
  const columns = { required: [column], optional: format === 'arrivals-ms' ? ['slo_ms'] : AZURE_COLUMNS };
  let firstMs: number | undefined;
  let last: Arrival | undefined;
  const take = (arrival: Arrival, untilMs: number) => {
    const copies = scale === 1 ? 0 : whole(scale, random()) - 1;
    if (copies < 0) return;
    arrivals.push(arrival);
    for (const share of sortedUniforms(copies, random)) {
      const arrivalMs = arrival.arrivalMs + share * (untilMs - arrival.arrivalMs);
      arrivals.push({ ...arrival, arrivalMs });
    }
  };
  for await (const row of readCsv(file, columns)) {
    let timeMs: number;
    if (format === 'arrivals-ms') timeMs = row.number(column, { most: LONGEST_MS });
    else {
      const at = readTimestamp(row.text(column));
      if (at === undefined) {
        throw badScenario(
          row.spot(column),
          `Expected a time such as 2023-11-16 18:15:46.68, found "${row.text(column)}"`,
        );
      }
      firstMs ??= at;
      timeMs = at - firstMs;
    }
    const sloMs =
      format === 'arrivals-ms' ? row.optional('slo_ms', { least: 1e-3, most: 86_400_000 }) : undefined;
    const arrivalMs = timeMs - fromMs;
    if (last !== undefined && arrivalMs < last.arrivalMs) {
      throw badScenario(
        row.spot(column),
        `Expected arrivals that rise: ${timeMs} ms comes after ${last.arrivalMs + fromMs} ms`,
      );
    }
    if (timeMs >= toMs) break;
    const arrival = { arrivalMs, ...(sloMs !== undefined && { sloMs }) };
    checkCount(row.spot(column), arrivals.length + scale);
    if (last !== undefined && last.arrivalMs >= 0) take(last, arrivalMs);
    last = arrival;
  }
  if (last !== undefined && last.arrivalMs >= 0) take(last, last.arrivalMs);
  const lastMs = last === undefined ? 0 : last.arrivalMs;
  return { arrivals, durationMs: Number.isFinite(toMs) ? toMs - fromMs : Math.max(1, lastMs) };
}

/** Further columns of the Azure traces of language model inference. */
const AZURE_COLUMNS = ['ContextTokens', 'GeneratedTokens'];

/** Milliseconds of a date and time in UTC with up to seven decimals, of which three digits and a fraction count. */
function readTimestamp(text: string): number | undefined {
  const match = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d+)?(Z|\+00:00)?$/.exec(text);
  if (match === null) return undefined;
  const seconds = Date.parse(`${match[1]}T${match[2]}Z`);
  return Number.isNaN(seconds) ? undefined : seconds + Number(match[3] ?? 0) * 1_000;
}

/** A whole number whose mean over rolls is `value`. */
function whole(value: number, roll: number): number {
  const floor = Math.floor(value);
  return floor + (roll < value - floor ? 1 : 0);
}

function sortedUniforms(count: number, random: () => number): Float64Array {
  return Float64Array.from({ length: count }, random).sort();
}

function checkCount(spot: Parameters<typeof badScenario>[0], count: number): void {
  if (count <= MAX_ARRIVALS) return;
  throw badScenario(spot, `Expected at most ${MAX_ARRIVALS.toLocaleString('en')} requests in a run`);
}
