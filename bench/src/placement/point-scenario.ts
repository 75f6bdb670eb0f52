import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { STREAMS, uniformAt } from '../random.ts';
import { committedScenario } from '../scenario/committed-scenario.ts';
import { gammaArrivals } from '../scenario/gamma-arrivals.ts';
import { readScenario } from '../scenario/read-scenario.ts';
import { readTrace } from '../scenario/read-trace.ts';
import { withSlos } from '../scenario/request-slos.ts';
import type { Arrival, Scenario } from '../scenario/scenario.ts';
import type { MixName, Point, TraceName } from './design.ts';

/**
 * Seconds between two requests of a caller: four pictures of a camera a second. So a visit of 20 requests is over in 5 s, and most
 * visits of a run of 10 s are whole; what a page downloads near its end is used less than it would be, against who downloads.
 */
const SECONDS_BETWEEN_REQUESTS = 0.25;
const WINDOW_SECONDS = 10;
/** Windows of a trace, one for each seed: seeds of one trace see different minutes of it. */
const WINDOWS_OF_TRACE = 5;

interface RecordedTrace {
  readonly file: string;
  readonly format: 'counts-per-second' | 'timestamps';
  /** The part of the file that windows are taken from. */
  readonly fromSeconds: number;
  readonly lengthSeconds: number;
}

const TWITTER = 'traces/twitter_2021-08_day1_rps.csv';
const RECORDED: Partial<Readonly<Record<TraceName, RecordedTrace>>> = {
  'twitter-peak': { file: TWITTER, format: 'counts-per-second', fromSeconds: 31_680, lengthSeconds: 3_600 },
  'twitter-trough': { file: TWITTER, format: 'counts-per-second', fromSeconds: 59_520, lengthSeconds: 3_600 },
  'azure-conversation': {
    file: 'traces/AzureLLMInferenceTrace_conv.csv',
    format: 'timestamps',
    fromSeconds: 0,
    lengthSeconds: 3_500,
  },
};
const SQUARED_VARIATIONS: Partial<Readonly<Record<TraceName, number>>> = {
  'gamma-1': 1,
  'gamma-2': 2,
  'gamma-4': 4,
  'gamma-8': 8,
};

/** Reads a committed mix. Its own arrivals are a steady stream; those of a point take their place. */
export function readMix(mix: MixName, seed: number): Promise<Scenario> {
  return readScenario(committedScenario(`placement/${mix}`), { seed });
}

/** A mix with a steady Poisson stream of all its tasks together. */
export async function steadyScenario(
  mix: MixName,
  options: {
    readonly browserShare: number;
    readonly perSecond: number;
    readonly seconds: number;
    readonly seed: number;
  },
): Promise<Scenario> {
  const { perSecond, seconds, seed } = options;
  const arrivals = gammaArrivals({ perSecond, seconds, squaredVariation: 1 }, seed);
  return withArrivals(await readMix(mix, seed), {
    arrivals,
    seconds,
    seed,
    browserShare: options.browserShare,
  });
}

/** The scenario of a point with a seed, at a rate that the trace has on average over the run. */
export async function pointScenario(
  point: Point,
  options: { readonly perSecond: number; readonly seed: number; readonly dataFolder: string | undefined },
): Promise<Scenario> {
  const { mix, trace, browserShare, egressUsdPerGb, seconds } = point;
  const { seed } = options;
  const arrivals = await arrivalsOf(trace, { ...options, seconds });
  const scenario = withArrivals(await readMix(mix, seed), { arrivals, seconds, seed, browserShare });
  return { ...scenario, name: `${mix}, ${trace}`, egressUsdPerGb };
}

/** The base mix over the whole Twitter day. */
export async function dayScenario(options: {
  readonly scale: number;
  readonly browserShare: number;
  readonly seed: number;
  readonly dataFolder: string | undefined;
}): Promise<Scenario> {
  const { scale, browserShare, seed } = options;
  const file = dataFile(TWITTER, options.dataFolder);
  const { arrivals, durationMs } = await readTrace(
    file,
    { format: 'counts-per-second', file, scale, fromSeconds: 0 },
    seed,
  );
  const scenario = withArrivals(await readMix('base', seed), {
    arrivals,
    seconds: durationMs / 1_000,
    seed,
    browserShare,
  });
  return { ...scenario, name: 'the Twitter day', windowSeconds: 600 };
}

/**
 * Gives each arrival to one of the mix's tasks by chance, all equally often, so that a burst is one of all tasks. The share of
 * capable callers is split among the mix's device classes as the mix splits it.
 */
export function withArrivals(
  mix: Scenario,
  options: {
    readonly arrivals: readonly Arrival[];
    readonly seconds: number;
    readonly seed: number;
    readonly browserShare: number;
  },
): Scenario {
  const { arrivals, seconds, seed, browserShare } = options;
  const dealt: Arrival[][] = mix.tasks.map(() => []);
  for (const [index, arrival] of arrivals.entries()) {
    dealt[Math.floor(uniformAt(seed, STREAMS.thinning, index) * dealt.length)]?.push(arrival);
  }
  const capable = mix.browsers.deviceClasses.reduce((sum, { share }) => sum + share, 0);
  const deviceClasses = mix.browsers.deviceClasses
    .map(({ deviceClass, share }) => ({ deviceClass, share: (share / capable) * browserShare }))
    .filter(({ share }) => share > 0);
  const callersAtOnce = Math.max(1, Math.round((arrivals.length / seconds) * SECONDS_BETWEEN_REQUESTS));
  return {
    ...mix,
    durationMs: seconds * 1_000,
    windowSeconds: WINDOW_SECONDS,
    tasks: mix.tasks.map((task, index) => ({
      ...task,
      arrivals: withSlos(dealt[index] ?? [], task.slos, seed + index),
    })),
    browsers: { ...mix.browsers, deviceClasses, callersAtOnce },
  };
}

/** Arrivals of a trace, scaled so that a run of `seconds` has `perSecond` of them a second on average. */
async function arrivalsOf(
  trace: TraceName,
  options: {
    readonly perSecond: number;
    readonly seconds: number;
    readonly seed: number;
    readonly dataFolder: string | undefined;
  },
): Promise<readonly Arrival[]> {
  const { perSecond, seconds, seed } = options;
  const squaredVariation = SQUARED_VARIATIONS[trace];
  if (squaredVariation !== undefined) return gammaArrivals({ perSecond, seconds, squaredVariation }, seed);
  const recorded = RECORDED[trace];
  if (recorded === undefined) throw new RangeError(`Expected a trace, got "${trace}"`);
  const file = dataFile(recorded.file, options.dataFolder);
  const window = ((seed - 1) % WINDOWS_OF_TRACE) + 0.5;
  const offset = Math.round((window / WINDOWS_OF_TRACE) * Math.max(0, recorded.lengthSeconds - seconds));
  const fromSeconds = recorded.fromSeconds + offset;
  const source = { format: recorded.format, file, fromSeconds, toSeconds: fromSeconds + seconds };
  const { arrivals } = await readTrace(file, { ...source, scale: 1 }, seed);
  const scale = (perSecond * seconds) / arrivals.length;
  return (await readTrace(file, { ...source, scale }, seed)).arrivals;
}

/** @throws Error that says where traces are looked for. */
function dataFile(name: string, dataFolder: string | undefined): string {
  const file = dataFolder === undefined ? undefined : join(dataFolder, name);
  if (file !== undefined && existsSync(file)) return file;
  throw new Error(
    `Expected the trace "${name}" in the folder with data sets, ${file === undefined ? 'but none is known' : `found none at "${file}"`}: name the folder by NEARFAR_DATA`,
  );
}
