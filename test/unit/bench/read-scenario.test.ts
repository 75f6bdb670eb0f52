import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MeshError } from '@nearfar/protocol';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MAX_CSV_BYTES } from '../../../bench/src/scenario/csv.ts';
import { readScenario } from '../../../bench/src/scenario/read-scenario.ts';

const HEADER = 'task,variant,device_class,batch,p50_ms,p90_ms,p99_ms,accuracy,load_ms,memory_bytes';
const ROW = 'digits,small,cpu,1,10,,30,0.9,500,1000';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearfar-scenario-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

interface Files {
  readonly scenario?: unknown;
  readonly profiles?: string;
  readonly trace?: string;
}

/** Writes a scenario that is right but for what is given, and reads it. */
async function read({ scenario = content(), profiles, trace }: Files, options = {}) {
  const file = join(folder, 'scenario.json');
  const text = typeof scenario === 'string' ? scenario : JSON.stringify(scenario);
  await writeFile(file, text);
  await writeFile(join(folder, 'profiles.csv'), profiles ?? `${HEADER}\n${ROW}\n`);
  await writeFile(join(folder, 'trace.csv'), trace ?? 'arrival_ms\n0\n10\n');
  return readScenario(file, options);
}

function content(over: object = {}, task: object = {}, trace: object = {}) {
  return {
    seed: 1,
    tasks: [
      { task: 'digits', sloMs: 50, trace: { file: 'trace.csv', format: 'arrivals-ms', ...trace }, ...task },
    ],
    profiles: 'profiles.csv',
    fleet: [{ deviceClass: 'cpu', tier: 'edge', count: 1, usdPerHour: 1 }],
    planEverySeconds: 10,
    ...over,
  };
}

const TWO_VARIANTS = `${HEADER}\n${ROW}\n${ROW.replace('small', 'large')}\n`;
const CASCADE = { variant: 'both', small: 'small', large: 'large', accuracy: 0.9, escalationRate: 0.2 };
const cpu = { deviceClass: 'cpu', tier: 'edge', count: 1, usdPerHour: 1 };

const BAD: [string, Files, RegExp][] = [
  ['no JSON', { scenario: '{' }, /scenario\.json: Expected JSON/],
  ['a missing field', { scenario: { ...content(), seed: undefined } }, /"seed"/],
  ['a misspelt field', { scenario: content({ fleets: [] }) }, /"fleets"/],
  ['no task', { scenario: content({ tasks: [] }) }, /"tasks"/],
  [
    'a task twice',
    { scenario: content({ tasks: [...content().tasks, ...content().tasks] }) },
    /"tasks\.1\.task".*twice/,
  ],
  [
    'an unknown task',
    { scenario: content({}, { task: 'nope' }) },
    /profiles\.csv, line 2, "task": Unknown task "digits"/,
  ],
  [
    'a task without a profile',
    { scenario: content({ tasks: [...content().tasks, { ...content().tasks[0], task: 'other' }] }) },
    /"tasks\.1\.task": Unknown task "other"/,
  ],
  ['a negative SLO', { scenario: content({}, { sloMs: -1 }) }, /"tasks\.0\.sloMs"/],
  ['an accuracy above 1', { scenario: content({}, { minAccuracy: 90 }) }, /"tasks\.0\.minAccuracy"/],
  ['no fleet', { scenario: content({ fleet: [] }) }, /"fleet"/],
  [
    'zero workers',
    { scenario: content({ fleet: [{ ...cpu, count: 0 }] }) },
    /"fleet\.0\.count": Expected at least one worker/,
  ],
  ['a least above the count', { scenario: content({ fleet: [{ ...cpu, min: 2 }] }) }, /"fleet\.0\.min"/],
  [
    'a most below the count',
    { scenario: content({ fleet: [{ ...cpu, count: 3, max: 2 }] }) },
    /"fleet\.0\.max"/,
  ],
  [
    'a class without profile',
    { scenario: content({ fleet: [{ ...cpu, deviceClass: 'gpu' }] }) },
    /"fleet\.0\.deviceClass".*"gpu"/,
  ],
  [
    'a class twice',
    { scenario: content({ fleet: [cpu, cpu] }) },
    /"fleet\.1\.deviceClass": Expected each device class once.*"cpu" of the edge tier in fleet\.0\.deviceClass/,
  ],
  [
    'a class in two tiers',
    { scenario: content({ fleet: [cpu, { ...cpu, tier: 'pool' }] }) },
    /"fleet\.1\.deviceClass": Expected each device class once.*"cpu" of the pool tier in fleet\.0\.deviceClass/,
  ],
  [
    'a class of workers that is one of callers, too',
    { scenario: content({ browsers: { deviceClasses: [{ deviceClass: 'cpu', share: 0.5 }] } }) },
    /"browsers\.deviceClasses\.0\.deviceClass": Expected each device class once/,
  ],
  [
    'a browser class without profile',
    { scenario: content({ browsers: { deviceClasses: [{ deviceClass: 'x', share: 0.5 }] } }) },
    /"browsers\.deviceClasses\.0\.deviceClass"/,
  ],
  [
    'browser shares above 1',
    {
      scenario: content({
        browsers: { deviceClasses: ['a', 'b'].map((deviceClass) => ({ deviceClass, share: 0.6 })) },
      }),
    },
    /"browsers\.deviceClasses": .*found 1\.2/,
  ],
  [
    'a share above 1',
    { scenario: content({ network: { rtts: [{ rttMs: 5, share: 2 }] } }) },
    /"network\.rtts\.0\.share"/,
  ],
  [
    'network shares below 1',
    { scenario: content({ network: { rtts: [{ rttMs: 5, share: 0.5 }] } }) },
    /"network\.rtts".*found 0\.5/,
  ],
  ['an unknown format', { scenario: content({}, {}, { format: 'xml' }) }, /"tasks\.0\.trace\.format"/],
  ['a missing file', { scenario: content({}, {}, { file: 'none.csv' }) }, /none\.csv: Cannot read/],
  ['a folder', { scenario: content({ profiles: '.' }) }, /Expected a file, found a folder/],
  [
    'data without a folder',
    { scenario: content({}, {}, { file: 'data:x.csv' }) },
    /"tasks\.0\.trace\.file": .*--data/,
  ],
  [
    'an empty window',
    { scenario: content({}, {}, { fromSeconds: 5 }) },
    /trace\.csv: Expected at least one arrival from 5/,
  ],
  [
    'a window that ends before it begins',
    { scenario: content({}, {}, { fromSeconds: 5, toSeconds: 4 }) },
    /"toSeconds"/,
  ],
  [
    'a missing column',
    { profiles: `${HEADER.replace(',accuracy', '')}\n` },
    /profiles\.csv, line 1, "accuracy"/,
  ],
  ['an unknown column', { profiles: `${HEADER},colour\n` }, /profiles\.csv, line 1, "colour"/],
  ['no profiles', { profiles: `${HEADER}\n` }, /profiles\.csv: Expected at least one profile/],
  ['an empty file of profiles', { profiles: '' }, /profiles\.csv, line 1: Expected a header/],
  ['a cell too few', { profiles: `${HEADER}\n${ROW}\ndigits,small\n` }, /profiles\.csv, line 3/],
  [
    'NaN in a profile',
    { profiles: `${HEADER}\n${ROW.replace('10', 'NaN')}\n` },
    /profiles\.csv, line 2, "p50_ms": .*"NaN"/,
  ],
  ['a time of 0', { profiles: `${HEADER}\n${ROW.replace('10', '0')}\n` }, /line 2, "p50_ms"/],
  ['no quantile', { profiles: `${HEADER}\ndigits,small,cpu,1,,,,0.9,1,1\n` }, /line 2, "p50_ms": .*none/],
  ['quantiles that fall', { profiles: `${HEADER}\n${ROW.replace('30', '3')}\n` }, /line 2, "p99_ms"/],
  ['a batch of 0', { profiles: `${HEADER}\n${ROW.replace(',1,', ',0,')}\n` }, /line 2, "batch"/],
  [
    'a profile accuracy above 1',
    { profiles: `${HEADER}\n${ROW.replace('0.9', '1.1')}\n` },
    /line 2, "accuracy"/,
  ],
  [
    'a cascade of an unknown variant',
    { scenario: content({}, { cascades: [{ ...CASCADE, large: 'huge' }] }), profiles: TWO_VARIANTS },
    /"tasks\.0\.cascades\.0\.large": .*"huge": expected one of small, large/,
  ],
  [
    'a cascade of one variant',
    { scenario: content({}, { cascades: [{ ...CASCADE, large: 'small' }] }), profiles: TWO_VARIANTS },
    /"tasks\.0\.cascades\.0\.large": Expected another variant/,
  ],
  [
    'a cascade that is named like a variant',
    { scenario: content({}, { cascades: [{ ...CASCADE, variant: 'large' }] }), profiles: TWO_VARIANTS },
    /"tasks\.0\.cascades\.0\.variant".*named "large"/,
  ],
  [
    'a cascade twice',
    { scenario: content({}, { cascades: [CASCADE, CASCADE] }), profiles: TWO_VARIANTS },
    /"tasks\.0\.cascades\.1\.variant".*named "both"/,
  ],
  [
    'an escalation rate above 1',
    { scenario: content({}, { cascades: [{ ...CASCADE, escalationRate: 1.5 }] }), profiles: TWO_VARIANTS },
    /"tasks\.0\.cascades\.0\.escalationRate"/,
  ],
  ['a profile line twice', { profiles: `${HEADER}\n${ROW}\n${ROW}\n` }, /line 3, "batch": .*line 2/],
  ['an empty trace', { trace: 'arrival_ms\n' }, /trace\.csv: Expected at least one arrival/],
  ['a trace without a header', { trace: '0\n1\n' }, /trace\.csv, line 1, "arrival_ms"/],
  ['a negative time', { trace: 'arrival_ms\n0\n-5\n' }, /trace\.csv, line 3, "arrival_ms": .*"-5"/],
  [
    'a time that is no number',
    { trace: 'arrival_ms\n0\nNaN\n' },
    /trace\.csv, line 3, "arrival_ms": .*"NaN"/,
  ],
  ['unsorted arrivals', { trace: 'arrival_ms\n0\n10\n9\n' }, /trace\.csv, line 4, "arrival_ms": .*rise/],
  ['an SLO of 0 in the trace', { trace: 'arrival_ms,slo_ms\n0,0\n' }, /line 2, "slo_ms"/],
  [
    'seconds that do not rise',
    { scenario: content({}, {}, { format: 'counts-per-second' }), trace: 't_s,rps\n1,1\n1,2\n' },
    /line 3, "t_s"/,
  ],
  [
    'a count beyond what a run can hold',
    { scenario: content({}, {}, { format: 'counts-per-second' }), trace: 't_s,rps\n0,1e12\n' },
    /line 2, "rps": Expected at most 20,000,000/,
  ],
  [
    'a time that is no time',
    { scenario: content({}, {}, { format: 'timestamps' }), trace: 'TIMESTAMP\n2023-11-16 18:15\n' },
    /line 2, "TIMESTAMP"/,
  ],
  ['a line without end', { trace: `arrival_ms\n${'1'.repeat(200_000)}` }, /trace\.csv/],
];

test.each(BAD)('refuses %s, and says where', async (_, files, message) => {
  const error = await read(files).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(MeshError);
  expect(error).toMatchObject({ code: 'MESH_BAD_SCENARIO', message: expect.stringMatching(message) });
});

test('refuses a file of 10 GB at once, without reading it', async () => {
  const file = await open(join(folder, 'huge.csv'), 'w');
  await file.write('arrival_ms\n');
  await file.truncate(10 * 1024 ** 3);
  await file.close();
  const before = performance.now();
  await expect(read({ scenario: content({}, {}, { file: 'huge.csv' }) })).rejects.toThrow(
    `Expected at most ${MAX_CSV_BYTES / 1024 / 1024} MiB, found 10240 MiB`,
  );
  expect(performance.now() - before).toBeLessThan(2_000);
});

describe('a scenario that is right', () => {
  test('gets every default', async () => {
    expect(await read({})).toEqual({
      seed: 1,
      name: 'scenario',
      durationMs: 10,
      windowSeconds: 1,
      tasks: [
        {
          task: 'digits',
          sloMs: 50,
          minAccuracy: 0,
          prefer: 'cost',
          payloadBytes: 0,
          answerBytes: 0,
          arrivals: [{ arrivalMs: 0 }, { arrivalMs: 10 }],
        },
      ],
      profiles: [
        {
          task: 'digits',
          variant: 'small',
          deviceClass: 'cpu',
          batch: 1,
          p50Ms: 10,
          p99Ms: 30,
          accuracy: 0.9,
          loadMs: 500,
          memoryBytes: 1_000,
        },
      ],
      fleet: [{ ...cpu, min: 1, max: 1, startupMs: 0, memoryBytes: Number.POSITIVE_INFINITY }],
      browsers: {
        deviceClasses: [],
        requestsPerCaller: 20,
        energyUsdPerHour: 0,
        cachedShare: 0,
        callersAtOnce: 400,
      },
      network: { rtts: [{ rttMs: 0, share: 1 }], bytesPerMs: Number.POSITIVE_INFINITY },
      egressUsdPerGb: 0,
      requestUsdPerMillion: 0,
    });
  });

  test('has its window moved to the start, and keeps the SLOs of its trace', async () => {
    const { tasks, durationMs } = await read({
      scenario: content({}, {}, { fromSeconds: 1, toSeconds: 3 }),
      trace: 'arrival_ms,slo_ms\n500,\n1000,\n2500,70\n3000,\n',
    });
    expect(tasks[0]?.arrivals).toEqual([{ arrivalMs: 0 }, { arrivalMs: 1_500, sloMs: 70 }]);
    expect(durationMs).toBe(2_000);
  });

  test('has as many arrivals in a second as were counted, each anywhere in it', async () => {
    const { tasks, durationMs } = await read({
      scenario: content({}, {}, { format: 'counts-per-second' }),
      trace: 't_s,rps\n0,3\n1,0\n3,2\n',
    });
    const seconds = tasks[0]?.arrivals.map(({ arrivalMs }) => Math.floor(arrivalMs / 1_000));
    expect(seconds).toEqual([0, 0, 0, 3, 3]);
    expect(durationMs).toBe(4_000);
  });

  test.each(['arrivals-ms', 'counts-per-second'])(
    '%s: scale multiplies the rate, and arrivals still rise',
    async (format) => {
      const lines = Array.from({ length: 20_000 }, (_, index) =>
        format === 'arrivals-ms' ? index * 7 : `${index},1`,
      );
      const trace = `${format === 'arrivals-ms' ? 'arrival_ms' : 't_s,rps'}\n${lines.join('\n')}\n`;
      for (const scale of [0.3, 1, 2.5]) {
        const { tasks } = await read({ scenario: content({}, {}, { format, scale }), trace });
        const times = tasks[0]?.arrivals.map(({ arrivalMs }) => arrivalMs) ?? [];
        expect(times.length / 20_000 / scale).toBeCloseTo(1, 1);
        expect(times).toEqual(times.toSorted((a, b) => a - b));
      }
    },
  );

  test('reads times of day, in UTC and to the fraction of a millisecond', async () => {
    const { tasks } = await read({
      scenario: content({}, {}, { format: 'timestamps' }),
      trace:
        'TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n',
    });
    expect(tasks[0]?.arrivals.map(({ arrivalMs }) => Math.round(arrivalMs * 100) / 100)).toEqual([
      0, 4_314.58,
    ]);
  });

  test('draws bursts as variable as it says', async () => {
    for (const squaredVariation of [0.5, 1, 8]) {
      const trace = { format: 'gamma', perSecond: 100, seconds: 400, squaredVariation };
      const { tasks } = await read({ scenario: content({}, { trace }) });
      const times = tasks[0]?.arrivals.map(({ arrivalMs }) => arrivalMs) ?? [];
      const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0));
      const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
      const variance = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length;
      expect(mean / 10).toBeCloseTo(1, 0);
      expect(variance / mean ** 2 / squaredVariation).toBeGreaterThan(0.85);
      expect(variance / mean ** 2 / squaredVariation).toBeLessThan(1.15);
    }
  });

  test('takes another seed, and files from the folder with data', async () => {
    const given = { scenario: content({}, {}, { file: 'data:trace.csv' }) };
    expect(await read(given, { seed: 7, dataFolder: folder })).toMatchObject({ seed: 7 });
  });
});
