import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readScenario } from '../../../bench/src/scenario/read-scenario.ts';
import { withSlos } from '../../../bench/src/scenario/request-slos.ts';

const SLOS = [
  { sloMs: 20, share: 0.25 },
  { sloMs: 300, share: 0.75 },
];
const ARRIVALS = Array.from({ length: 20_000 }, (_, index) => ({ arrivalMs: index, sloMs: 7 }));

describe('SLOs of requests', () => {
  test('come in their shares, in place of those of the trace, at the same times', () => {
    const given = withSlos(ARRIVALS, SLOS, 1);
    const tight = given.filter(({ sloMs }) => sloMs === 20).length;
    expect(tight / given.length).toBeCloseTo(0.25, 1);
    expect(given.every(({ sloMs }) => sloMs === 20 || sloMs === 300)).toBe(true);
    expect(given.map(({ arrivalMs }) => arrivalMs)).toEqual(ARRIVALS.map(({ arrivalMs }) => arrivalMs));
  });

  test('are the same for the same seed, and others for another', () => {
    expect(withSlos(ARRIVALS, SLOS, 1)).toEqual(withSlos(ARRIVALS, SLOS, 1));
    expect(withSlos(ARRIVALS, SLOS, 2)).not.toEqual(withSlos(ARRIVALS, SLOS, 1));
  });

  test('stay as the trace names them where the task names none', () => {
    expect(withSlos(ARRIVALS, undefined, 1)).toBe(ARRIVALS);
  });

  test('are the last one where rounding leaves a roll over', () => {
    const short = [{ sloMs: 20, share: 0 }];
    expect(withSlos(ARRIVALS.slice(0, 2), short, 1).map(({ sloMs }) => sloMs)).toEqual([20, 20]);
  });

  test('of a scenario file have shares that add up to 1', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'slos-'));
    const profiles =
      'task,variant,device_class,batch,p50_ms,p90_ms,p99_ms,accuracy,load_ms,memory_bytes\na,v,cpu,1,1,1,1,1,1,1\n';
    writeFileSync(join(folder, 'profiles.csv'), profiles);
    const file = (slos: typeof SLOS) => {
      const trace = { format: 'gamma', perSecond: 50, seconds: 10 };
      const tasks = [{ task: 'a', sloMs: 20, slos, trace }];
      const fleet = [{ deviceClass: 'cpu', tier: 'edge', count: 1, usdPerHour: 1 }];
      writeFileSync(
        join(folder, 's.json'),
        JSON.stringify({ seed: 1, tasks, profiles: 'profiles.csv', fleet }),
      );
      return join(folder, 's.json');
    };
    await expect(readScenario(file(SLOS.slice(1)))).rejects.toThrow(
      /"tasks\.0\.slos": .*add up to 1, found 0\.75/,
    );
    const { tasks } = await readScenario(file(SLOS));
    const seen = new Set(tasks[0]?.arrivals.map(({ sloMs }) => sloMs));
    expect(seen).toEqual(new Set([20, 300]));
  });
});
