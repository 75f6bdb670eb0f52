import { STREAMS, uniformAt } from '../random.ts';
import { gammaArrivals } from '../scenario/gamma-arrivals.ts';
import { readTrace } from '../scenario/read-trace.ts';
import type { Arrival } from '../scenario/scenario.ts';
import type { PlannedRequest } from './requests.ts';

/** A stretch of load. */
export interface Stretch {
  /** Stretches with different numbers are different ones. */
  readonly number: number;
  /** Mean of its requests. */
  readonly perSecond: number;
  readonly seconds: number;
}

/** Where stretches of load come from. */
export interface LoadSource {
  /** A trace of one day with its requests in each second; undefined = arrivals are drawn, with bursts. */
  readonly traceFile: string | undefined;
  /** Share of the requests that the page's user makes, 0 to 1. */
  readonly pageShare: number;
  readonly seed: number;
}

const MINUTES_PER_DAY = 1_440;
/** Has no divisor in common with the minutes of a day, so that as many stretches begin at different minutes. */
const MINUTES_APART = 97;
/** Of the times between drawn arrivals: somewhat burstier than independent ones. */
const SQUARED_VARIATION = 2;
/** More requests than a stretch has. */
const LARGEST_STRETCH = 1_000_000;

/** The requests of a stretch: the same ones for the same source and number. */
export async function planStretch(source: LoadSource, stretch: Stretch): Promise<PlannedRequest[]> {
  const { seed, pageShare, traceFile } = source;
  const arrivals =
    traceFile === undefined
      ? gammaArrivals({ ...stretch, squaredVariation: SQUARED_VARIATION }, seed + stretch.number)
      : await cutTrace(traceFile, stretch, seed);
  return arrivals.map(({ arrivalMs }, index) => ({
    arrivalMs,
    isOfPage: uniformAt(seed, STREAMS.device, stretch.number * LARGEST_STRETCH + index) < pageShare,
  }));
}

/** A piece of the day, with its rate brought to the one that is wanted and its changes from second to second kept. */
async function cutTrace(
  file: string,
  { number, perSecond, seconds }: Stretch,
  seed: number,
): Promise<Arrival[]> {
  const minute = (seed * MINUTES_APART * 7 + number * MINUTES_APART) % (MINUTES_PER_DAY - 2);
  const window = {
    format: 'counts-per-second' as const,
    file,
    fromSeconds: minute * 60,
    toSeconds: minute * 60 + seconds,
  };
  const asItWas = await readTrace(file, { ...window, scale: 1 }, seed);
  const scale = (perSecond * seconds) / asItWas.arrivals.length;
  return (await readTrace(file, { ...window, scale }, seed + number)).arrivals;
}
