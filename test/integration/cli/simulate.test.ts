import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runNearfar } from '../../support/run-nearfar.ts';

const SAMPLE = fileURLToPath(new URL('../../../bench/scenarios/sample/scenario.json', import.meta.url));

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearfar-simulate-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** The sample with fifteen seconds of another load, which a schedule is soon found for. */
async function shortSample(): Promise<string> {
  const content = JSON.parse(await readFile(SAMPLE, 'utf8'));
  const [task] = content.tasks;
  const file = join(folder, 'short.json');
  const trace = { format: 'gamma', perSecond: 40, seconds: 15 };
  const profiles = join(dirname(SAMPLE), content.profiles);
  await writeFile(file, JSON.stringify({ ...content, profiles, tasks: [{ ...task, trace }] }));
  return file;
}

describe('simulate', () => {
  test('--json prints only JSON with every figure, and the same for the same seed', async () => {
    const run = (...more: string[]) => runNearfar(['simulate', SAMPLE, '--json', '--no-bound', ...more]);
    const first = await run('--seed', '3');
    expect(first).toMatchObject({ code: 0, stderr: '' });
    const result = JSON.parse(first.stdout);
    expect(result).toMatchObject({
      policy: 'mesh',
      seed: 3,
      requests: expect.any(Number),
      attainment: expect.any(Number),
      goodput_rps: expect.any(Number),
      cost_per_1000_usd: expect.any(Number),
      effective_accuracy: expect.closeTo(0.9407, 9),
      latency_ms: {
        p50: expect.any(Number),
        p95: expect.any(Number),
        p99: expect.any(Number),
        p999: expect.any(Number),
      },
      per_task: { fashion: { requests: result.requests } },
    });
    expect(result.attainment).toBeGreaterThan(0.99);
    expect(result.attainment + result.violation_ratio).toBeCloseTo(1, 12);
    const { browser, edge, pool } = result.tier_shares;
    expect(browser + edge + pool).toBeCloseTo(1, 12);
    expect((await run('--seed', '3')).stdout).toBe(first.stdout);
    expect((await run('--seed', '4')).stdout).not.toBe(first.stdout);
  });

  test('says what the same attainment would cost at least, and what the best schedule found costs', async () => {
    const { code, stdout } = await runNearfar(['simulate', await shortSample(), '--json', '--clairvoyant']);
    expect(code).toBe(0);
    const { bound, clairvoyant, marginal_cost_usd: cost, attainment } = JSON.parse(stdout);
    expect(bound.attainment).toBe(attainment);
    expect(bound.marginal_cost_usd).toBeGreaterThan(0);
    expect(clairvoyant.marginal_cost_usd).toBeGreaterThanOrEqual(bound.marginal_cost_usd);
    expect(clairvoyant.marginal_cost_usd).toBeLessThanOrEqual(cost);
  });

  test('runs the clairvoyant as a policy, and sets it beside another one also without the bound', async () => {
    const file = await shortSample();
    const alone = await runNearfar(['simulate', file, '--json', '--no-bound', '--policy', 'clairvoyant']);
    const result = JSON.parse(alone.stdout);
    expect(result).toMatchObject({ policy: 'clairvoyant', late: 0, dropped: 0 });
    expect(result.latency_ms.p99).toBeGreaterThan(0);
    const flags = ['--json', '--no-bound', '--clairvoyant', '--policy', 'always-pool'];
    const beside = JSON.parse((await runNearfar(['simulate', file, ...flags])).stdout);
    expect(beside.bound).toBeUndefined();
    expect(beside.clairvoyant.marginal_cost_usd).toBeLessThan(beside.marginal_cost_usd);
  });

  test('without --json prints a table for people, and writes the report', async () => {
    const report = join(folder, 'report.html');
    const { code, stdout, stderr } = await runNearfar([
      'simulate',
      SAMPLE,
      '--policy',
      'always-pool',
      '--no-bound',
      '--report',
      report,
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/\(simulated\)/);
    expect(stdout).toMatch(/answered in time +100\.00 %/);
    expect(stderr).toContain(report);
    const html = await readFile(report, 'utf8');
    expect(html).toContain('Simulation, not a measurement');
    expect(html).toContain('always-pool');
    // It needs nothing from anywhere.
    expect(/<(link|img|script[^>]*src)|url\(|@import|fetch\(/.test(html)).toBe(false);
  });

  test('an unknown policy is wrong usage, and the ones that are there are named', async () => {
    const { code, stdout, stderr } = await runNearfar(['simulate', SAMPLE, '--policy', 'best']);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/--policy.*mesh.*greedy-cost.*"best"/);
  });

  test('a scenario that cannot be run fails with file, line and field', async () => {
    const file = join(folder, 'scenario.json');
    const scenario = JSON.parse(await readFile(SAMPLE, 'utf8'));
    await writeFile(file, JSON.stringify(scenario));
    await writeFile(join(folder, 'trace.csv'), 't_s,rps\n0,5\n1,many\n');
    await writeFile(
      join(folder, 'profiles.csv'),
      await readFile(SAMPLE.replace('scenario.json', 'profiles.csv')),
    );
    const { code, stderr } = await runNearfar(['simulate', file, '--json']);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /trace\.csv, line 3, "rps": Expected a number from 0, found "many" \(MESH_BAD_SCENARIO\)/,
    );
  });
});

describe('bench', () => {
  test('--json without a name lists the benchmarks as JSON', async () => {
    const { code, stdout } = await runNearfar(['bench', '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toContainEqual({
      bench: 'decide',
      description: expect.stringMatching(/placement/),
    });
  });

  test('forecast says which file it lacks, and fails', async () => {
    const { code, stdout, stderr } = await runNearfar(['bench', 'forecast', '--json', '--data', folder]);
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/twitter_2021-08_day1_rps\.csv: Cannot read the file/);
  });

  test('--data has to name a folder', async () => {
    const { code, stderr } = await runNearfar(['bench', 'forecast', '--data', join(folder, 'nowhere')]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/Expected --data to name a folder/);
  });
});
