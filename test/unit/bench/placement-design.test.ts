import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  fullDesign,
  jobId,
  LOADS,
  MIXES,
  type Point,
  pointId,
  quickDesign,
  TRACES,
} from '../../../bench/src/placement/design.ts';
import { pointScenario, readMix, withArrivals } from '../../../bench/src/placement/point-scenario.ts';

function point(over: Partial<Point> = {}): Point {
  return {
    mix: 'base',
    trace: 'gamma-1',
    load: 0.6,
    browserShare: 0.3,
    egressUsdPerGb: 0.02,
    seconds: 10,
    ...over,
  };
}

describe('what is run', () => {
  test('no two jobs have the same name in the results file', () => {
    const { jobs, capacities } = fullDesign([1, 2, 3]);
    const ids = [...jobs, ...capacities].map(jobId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('the base mix meets every trace at every load, with each seed', () => {
    const { jobs } = fullDesign([1, 2]);
    const ids = new Set(jobs.filter(({ kind }) => kind === 'place').map(jobId));
    for (const seed of [1, 2]) {
      for (const trace of TRACES) {
        for (const load of LOADS) {
          expect(ids).toContain(`place ${pointId(point({ trace, load }))} seed-${seed}`);
        }
      }
    }
  });

  test('whoever places has an optimum beside it, and a capacity that the load is a share of', () => {
    for (const { jobs, capacities } of [fullDesign([1, 2]), quickDesign(1)]) {
      const optima = new Set(jobs.map(jobId));
      const known = new Set(capacities.map(({ mix, browserShare }) => `${mix} ${browserShare}`));
      for (const job of jobs) {
        if (job.kind === 'day') continue;
        if (job.kind === 'place') expect(optima).toContain(jobId({ ...job, kind: 'optimum' }));
        if ('point' in job) expect(known).toContain(`${job.point.mix} ${job.point.browserShare}`);
      }
    }
  });

  test('one seed is whole before the next begins', () => {
    const seeds = fullDesign([3, 1, 2]).jobs.flatMap((job) =>
      job.kind === 'day' || !('seed' in job) ? [] : [job.seed],
    );
    expect([...new Set(seeds)]).toEqual([3, 1, 2]);
    expect(seeds).toEqual(seeds.toSorted((a, b) => [3, 1, 2].indexOf(a) - [3, 1, 2].indexOf(b)));
  });
});

describe('the committed mixes', () => {
  test.each(MIXES.filter((mix) => mix !== 'all-pairs'))(
    '%s has no round trip longer than an SLO',
    async (mix) => {
      const { tasks, network } = await readMix(mix, 1);
      const longest = Math.max(...network.rtts.map(({ rttMs }) => rttMs));
      expect(longest).toBeLessThan(Math.min(...tasks.map(({ sloMs }) => sloMs)));
      for (const { sloMs, slos = [] } of tasks) {
        expect(Math.min(sloMs, ...slos.map((slo) => slo.sloMs))).toBe(sloMs);
      }
    },
  );

  test('hold every SLO, every round trip and two accuracy classes between them', async () => {
    const mixes = await Promise.all(MIXES.slice(0, -1).map((mix) => readMix(mix, 1)));
    const tasks = mixes.flatMap((mix) => mix.tasks);
    const rtts = mixes.flatMap(({ network }) => network.rtts.map(({ rttMs }) => rttMs));
    const sloMs = tasks.flatMap(({ sloMs: own, slos = [] }) => [own, ...slos.map((slo) => slo.sloMs)]);
    expect(new Set(sloMs)).toEqual(new Set([20, 50, 100, 300, 1_000]));
    expect(new Set(rtts)).toEqual(new Set([5, 20, 60, 150]));
    expect(new Set(tasks.map(({ minAccuracy }) => minAccuracy)).size).toBe(2);
  });
});

describe('the scenario of a point', () => {
  test.each(['gamma-1', 'gamma-8'] as const)('has the rate that was asked for of %s', async (trace) => {
    const { tasks } = await pointScenario(point({ trace, seconds: 60 }), {
      perSecond: 200,
      seed: 1,
      dataFolder: undefined,
    });
    const requests = tasks.reduce((sum, { arrivals }) => sum + arrivals.length, 0);
    expect(requests / 60).toBeGreaterThan(180);
    expect(requests / 60).toBeLessThan(220);
  });

  test('shares the arrivals evenly among the tasks and keeps each one once, in order', async () => {
    const mix = await readMix('base', 1);
    const arrivals = Array.from({ length: 6_000 }, (_, index) => ({ arrivalMs: index }));
    const { tasks } = withArrivals(mix, { arrivals, seconds: 6, seed: 1, browserShare: 0.3 });
    for (const task of tasks) {
      expect(task.arrivals.length).toBeGreaterThan(2_850);
      expect(new Set(task.arrivals.map(({ sloMs }) => sloMs))).toEqual(new Set([100, 300, 1_000]));
      expect(task.arrivals).toEqual(task.arrivals.toSorted((a, b) => a.arrivalMs - b.arrivalMs));
    }
    const all = tasks.flatMap((task) => task.arrivals).map(({ arrivalMs }) => arrivalMs);
    expect(all.toSorted((a, b) => a - b)).toEqual(arrivals.map(({ arrivalMs }) => arrivalMs));
  });

  test.each([0, 0.3, 0.7])('has %d of its callers capable', async (browserShare) => {
    const { browsers } = await pointScenario(point({ browserShare }), {
      perSecond: 20,
      seed: 1,
      dataFolder: undefined,
    });
    expect(browsers.deviceClasses.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(browserShare);
  });

  test('says where it looked for a trace that is not there', async () => {
    const dataFolder = mkdtempSync(join(tmpdir(), 'placement-'));
    const twitter = point({ trace: 'twitter-peak' });
    const at = { perSecond: 20, seed: 1 };
    await expect(pointScenario(twitter, { ...at, dataFolder })).rejects.toThrow(
      /twitter_2021-08_day1_rps\.csv.*found none at.*NEARFAR_DATA/,
    );
    await expect(pointScenario(twitter, { ...at, dataFolder: undefined })).rejects.toThrow(/NEARFAR_DATA/);
  });
});
