import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { highestRate } from '../../../bench/src/highest-rate.ts';
import { type Design, type Job, withCapacities } from '../../../bench/src/placement/design.ts';
import { metricsOf } from '../../../bench/src/placement/metrics.ts';
import type { JobRecord } from '../../../bench/src/placement/records.ts';
import { openResults } from '../../../bench/src/placement/results-file.ts';
import { runAll } from '../../../bench/src/placement/run-all.ts';
import { costAt } from '../../../bench/src/placement/run-optimum.ts';
import { renderTables } from '../../../bench/src/placement/tables.ts';

/** A second of the mix with the tightest SLO, whose fleet can serve the fewest. */
const POINT = {
  mix: 'slo-20',
  trace: 'gamma-2',
  load: 0.6,
  browserShare: 0.3,
  egressUsdPerGb: 0.02,
  seconds: 1,
} as const;

function tinyDesign(): Design {
  const jobs: Job[] = [
    { kind: 'place', point: POINT, seed: 1 },
    { kind: 'optimum', point: POINT, seed: 1 },
  ];
  return withCapacities(jobs, 0.5);
}

function resultsFile(): string {
  return join(mkdtempSync(join(tmpdir(), 'placement-')), 'nested', 'results.jsonl');
}

describe('a run', () => {
  let file: string;
  let records: readonly JobRecord[];

  beforeAll(async () => {
    file = resultsFile();
    records = await runAll(tinyDesign(), { threads: 0, resultsFile: file });
  });

  test('gives metrics and tables', () => {
    const metrics = metricsOf(records);
    expect(metrics).toMatchObject({ judged_seeds: 1, judged_points: 1 });
    expect(metrics.attainment_clairvoyant).toBeGreaterThanOrEqual(metrics.attainment_mesh ?? 1);
    expect(metrics.cost_over_clairvoyant).toBeGreaterThanOrEqual(1);
    expect(metrics.clairvoyant_over_bound).toBeGreaterThanOrEqual(1);
    expect(renderTables(records)).toContain('| slo-20 | gamma-2 | 60 % | 1 |');
  });

  test('is the same in other threads', async () => {
    expect(metricsOf(await runAll(tinyDesign(), { threads: 2 }))).toEqual(metricsOf(records));
  });

  test('does nothing twice that the results file has', async () => {
    const written = readFileSync(file, 'utf8');
    const progress: number[] = [];
    const again = await runAll(tinyDesign(), {
      threads: 0,
      resultsFile: file,
      onProgress: (share) => progress.push(share),
    });
    expect(progress).toEqual([]);
    expect(readFileSync(file, 'utf8')).toBe(written);
    expect(again).toEqual(records);
  });

  test('does only what was cut off again', async () => {
    const cut = resultsFile();
    mkdirSync(dirname(cut), { recursive: true });
    writeFileSync(cut, readFileSync(file, 'utf8').slice(0, -40));
    const shares: number[] = [];
    const again = await runAll(tinyDesign(), {
      threads: 0,
      resultsFile: cut,
      onProgress: (share) => shares.push(share),
    });
    expect(shares).toEqual([1]);
    expect(again).toEqual(records);
    expect(openResults(cut).done.size).toBe(3);
  });

  test('a job that fails in a thread names itself', async () => {
    const jobs: Job[] = [{ kind: 'day', policy: 'nobody', scale: 1, seed: 1 }];
    await expect(runAll({ capacities: [], jobs }, { threads: 1 })).rejects.toThrow(
      /^day nobody scale-1 seed-1: .*NEARFAR_DATA/,
    );
  });
});

describe('a results file', () => {
  test('names a line that is no result', () => {
    const file = resultsFile();
    openResults(file);
    appendFileSync(file, 'nonsense\n{"id":"a","record":{}}\n');
    expect(() => openResults(file)).toThrow(/line 1 of the results/);
  });

  test('keeps what is appended after a line that was cut off', () => {
    const file = resultsFile();
    openResults(file);
    appendFileSync(file, '{"id":"a","record":{}}\n{"id":"b","rec');
    const record = { job: { kind: 'capacity' }, capacity: { perSecond: 1, attainable: 1 } } as never;
    openResults(file).append('c', record);
    expect([...openResults(file).done.keys()]).toEqual(['a', 'c']);
  });
});

describe('the highest rate that holds', () => {
  test('is found to the precision, from above and from below', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.double({ min: 1, max: 10_000, noNaN: true }),
        fc.double({ min: 1, max: 500, noNaN: true }),
        fc.constantFrom(1.5, 2),
        async (limit, fromPerSecond, growth) => {
          const options = { fromPerSecond, mostPerSecond: 20_000, precision: 0.03, growth };
          const found = await highestRate((rate) => Promise.resolve(rate <= limit), options);
          expect(found).toBeLessThanOrEqual(limit);
          expect(found * 1.0301).toBeGreaterThanOrEqual(limit);
        },
      ),
    );
  });

  test('is one that was tried and held, and none is tried beyond the growth of one that held', async () => {
    const tried: number[] = [];
    const holds = (rate: number) => {
      tried.push(rate);
      return Promise.resolve(rate <= 40);
    };
    const options = { fromPerSecond: 15, mostPerSecond: 1_000, precision: 0.05, growth: 1.5 };
    const found = await highestRate(holds, options);
    expect(tried.filter((rate) => rate <= 40)).toContain(found);
    expect(Math.max(...tried)).toBeLessThanOrEqual(40 * 1.5);
  });

  test('is 0 where no rate holds, and the most where all do', async () => {
    const options = { fromPerSecond: 10, mostPerSecond: 1_000, precision: 0.1 };
    expect(await highestRate(() => Promise.resolve(false), options)).toBe(0);
    expect(await highestRate(() => Promise.resolve(true), options)).toBe(1_000);
  });
});

describe('what so many on time cost', () => {
  const curve = [
    { onTime: 10, marginalUsd: 1 },
    { onTime: 20, marginalUsd: 3 },
    { onTime: 20, marginalUsd: 3 },
    { onTime: 30, marginalUsd: 9 },
  ];

  test.each([
    [0, 1],
    [10, 1],
    [15, 2],
    [20, 3],
    [25, 6],
    [30, 9],
    [31, Number.POSITIVE_INFINITY],
  ])('%d cost %d', (onTime, usd) => {
    expect(costAt(curve, onTime)).toBe(usd);
  });

  test('is infinite where there is no schedule', () => {
    expect(costAt([], 1)).toBe(Number.POSITIVE_INFINITY);
  });
});
