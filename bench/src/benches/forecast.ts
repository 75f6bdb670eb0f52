import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Forecaster } from '@nearfar/core';
import type { Bench } from '../bench.ts';
import { quantileLoss } from '../quantile-loss.ts';
import { badScenario } from '../scenario/bad-scenario.ts';

/** In the folder with data sets. */
const TRACE = 'traces/twitter_2021-08_day1_rps.csv';
const HORIZONS_SECONDS = [10, 30];
/** Seconds at the start that do not count: nobody knows anything yet. */
const WARM_UP_SECONDS = 60;

/** How much better the forecaster is than the last value on a day of Twitter's requests. */
export const forecast: Bench = {
  name: 'forecast',
  description: 'Error of the demand forecast against that of the last value, on the Twitter day',
  async run({ programs }) {
    const counts = await readCounts(programs?.dataFolder);
    const metrics: Record<string, number> = {};
    for (const horizon of HORIZONS_SECONDS) {
      for (const [name, ratio] of Object.entries(compareToLastValue(counts, horizon))) {
        metrics[`${name}_${horizon}s`] = ratio;
      }
    }
    return metrics;
  },
};

/** Requests of each second of the day. */
async function readCounts(dataFolder: string | undefined): Promise<number[]> {
  if (dataFolder === undefined) {
    throw badScenario(
      { file: `data:${TRACE}` },
      'It lies in the folder with data sets: name it with --data or NEARFAR_DATA',
    );
  }
  const file = join(dataFolder, TRACE);
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw badScenario({ file }, `Cannot read the file: ${(cause as Error).message}`, cause);
  }
  const [, ...lines] = text.trim().split('\n');
  return lines.map((line, index) => {
    const count = Number(line.split(',')[1]);
    if (count >= 0) return count;
    throw badScenario({ file, line: index + 2, field: 'rps' }, `Expected a number from 0, found "${line}"`);
  });
}

/** Errors of the forecaster as a share of the last value's; `coverage_90` is the share of counts below the 0.9 quantile. */
export function compareToLastValue(
  counts: readonly number[],
  horizon: number,
): Readonly<Record<'mae' | 'pinball_50' | 'pinball_90' | 'coverage_90', number>> {
  const forecaster = new Forecaster();
  const own = { mae: 0, pinball_50: 0, pinball_90: 0 };
  const last = { mae: 0, pinball_50: 0, pinball_90: 0 };
  let below = 0;
  let steps = 0;
  for (let now = 0; now + horizon < counts.length; now += 1) {
    const value = counts[now] ?? 0;
    forecaster.observe(value);
    if (now < WARM_UP_SECONDS) continue;
    const actual = counts[now + horizon] ?? 0;
    const middle = forecaster.quantile(horizon, 0.5);
    const upper = forecaster.quantile(horizon, 0.9);
    own.mae += Math.abs(actual - middle);
    own.pinball_50 += quantileLoss(actual, middle, 0.5);
    own.pinball_90 += quantileLoss(actual, upper, 0.9);
    last.mae += Math.abs(actual - value);
    last.pinball_50 += quantileLoss(actual, value, 0.5);
    last.pinball_90 += quantileLoss(actual, value, 0.9);
    if (actual <= upper) below += 1;
    steps += 1;
  }
  return {
    mae: own.mae / last.mae,
    pinball_50: own.pinball_50 / last.pinball_50,
    pinball_90: own.pinball_90 / last.pinball_90,
    coverage_90: below / steps,
  };
}
