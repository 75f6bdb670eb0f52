import { Sketch } from '@nearfar/core';
import { float32Values, type GoldenFile, type ProfileReport, type VariantSpec } from '@nearfar/protocol';
import { describe, expect, test } from 'vitest';
import { settled } from '../../support/worker/manual-clock.ts';
import type { RecordingLink } from '../../support/worker/recording-link.ts';
import { artifactOf, connectedWorker, MODEL, rows, variantSpec } from './builders.ts';

const HOUR_MS = 3_600_000;

const base64 = (values: ArrayBufferView<ArrayBuffer>) => Buffer.from(values.buffer).toString('base64');

interface ReadyOptions extends Partial<VariantSpec> {
  readonly goldenFile?: GoldenFile;
}

/** A worker that has loaded a variant. */
async function readyWorker({ goldenFile, ...overrides }: ReadyOptions = {}) {
  const bytes = new TextEncoder().encode(JSON.stringify(goldenFile));
  const golden = goldenFile === undefined ? {} : { golden: artifactOf('golden.json', bytes) };
  const spec = variantSpec({ ...overrides, ...golden });
  const artifacts = { fetch: async ({ path }: { path: string }) => (path === 'golden.json' ? bytes : MODEL) };
  const parts = connectedWorker({ artifacts });
  parts.link.deliver({ type: 'variant-load', spec });
  await readyReplica(parts.link);
  return parts;
}

const readyReplica = (link: RecordingLink) =>
  link.until(() => link.of('load-report').find(({ replicas }) => replicas[0]?.state === 'ready'));

const newestReport = (link: RecordingLink, batch = 1): ProfileReport | undefined =>
  link
    .of('profile-report')
    .flatMap(({ reports }) => reports)
    .findLast((report) => report.batch === batch);

const newestTimes = (link: RecordingLink) => {
  const report = newestReport(link);
  const sketch = report === undefined ? new Sketch() : Sketch.fromData(report.computeMs);
  return { count: sketch.count, medianMs: sketch.quantile(0.5) ?? 0 };
};

/** Runs so many requests one after another, each in so many milliseconds, and lets the profiles go out. */
async function serve(
  { clock, engine, link }: Awaited<ReturnType<typeof readyWorker>>,
  count: number,
  computeMs: number,
) {
  engine.computeMs = computeMs;
  for (let index = 0; index < count; index++) {
    link.execute({ requestId: crypto.randomUUID(), variant: 'copy' }, rows(1, 2));
    await settled();
  }
  for (let second = 0; second < 5; second++) await clock.advance(1_000);
}

describe('the measuring of a variant', () => {
  test('runs the first row of its known inputs, as often as the batch is large', async () => {
    const tensor = { datatype: 'FP32' as const, shape: [2, 2], base64: base64(Float32Array.of(5, 6, 7, 8)) };
    const goldenFile = { inputs: { x: tensor }, outputs: { copy: { y: tensor } } };
    const { engine, worker } = await readyWorker({ goldenFile });
    const [selfTest, ...measured] = engine.runs.map(([x]) => (x === undefined ? [] : [...float32Values(x)]));
    expect(selfTest).toEqual([5, 6, 7, 8]);
    expect(new Set(measured.map((values) => values.join()))).toEqual(
      new Set(['5,6', '5,6,5,6', '5,6,5,6,5,6,5,6']),
    );
    await worker.close();
  });

  test('runs known inputs as they are, a scalar among them, where there is no batch axis', async () => {
    const inputs: VariantSpec['inputs'] = [{ name: 'x', datatype: 'INT64', shape: [] }];
    const outputs: VariantSpec['outputs'] = [{ name: 'y', datatype: 'INT64', shape: [] }];
    const tensor = { datatype: 'INT64' as const, shape: [], base64: base64(BigInt64Array.of(16_000n)) };
    const goldenFile = { inputs: { x: tensor }, outputs: { copy: { y: tensor } } };
    const { engine, link, worker } = await readyWorker({ goldenFile, inputs, outputs, isBatchable: false });
    const values = engine.runs.map(
      ([x]) => new BigInt64Array(x?.data.slice().buffer ?? new ArrayBuffer())[0],
    );
    expect(new Set(values)).toEqual(new Set([16_000n]));
    expect(engine.runs.every(([x]) => x?.shape.length === 0)).toBe(true);
    expect(newestReport(link)).toMatchObject({ batch: 1 });
    await worker.close();
  });

  test('runs zeros where nothing is known', async () => {
    const { engine, worker } = await readyWorker();
    expect(
      engine.runs.every(([x]) => x !== undefined && float32Values(x).every((value) => value === 0)),
    ).toBe(true);
    await worker.close();
  });

  test('says what the variant needs, in parts', async () => {
    const { link, worker } = await readyWorker();
    const report = newestReport(link);
    expect(report).toMatchObject({ loadMs: 0, downloadMs: 0, compileMs: 0, firstRunMs: 0 });
    expect(report).toMatchObject({ modelBytes: MODEL.byteLength, runtimeBytes: 0 });
    expect(report?.peakMemoryBytes).toBeGreaterThanOrEqual(report?.memoryBytes ?? Number.NaN);
    await worker.close();
  });

  test('pauses while requests wait, for three times what it took before, and comes to its end all the same', async () => {
    const { clock, engine, link, worker } = await readyWorker();
    engine.isHolding = true;
    for (const requestId of ['running', 'waiting']) link.execute({ requestId, variant: 'copy' }, rows(1, 2));
    link.deliver({ type: 'variant-load', spec: variantSpec({ revision: 2 }) });
    await settled();
    /** Finishes the newest run, unless nothing is run. */
    const finishNewest = async () => {
      const { length } = engine.held;
      engine.held.at(-1)?.finish(20);
      await settled();
      return engine.held.length > length;
    };
    // The self-test, before which nothing ran that it could pause for.
    await finishNewest();
    await clock.advance(0);
    while (await finishNewest());
    // Two runs of 20 ms are a part.
    expect(engine.held).toHaveLength(2 + 2);
    await clock.advance(3 * 40 - 1);
    expect(engine.held).toHaveLength(2 + 2);
    await clock.advance(1);
    expect(engine.held).toHaveLength(2 + 2 + 1);
    while (link.of('load-report').at(-1)?.replicas[1]?.state !== 'ready') {
      if (!(await finishNewest())) await clock.advance(10);
    }
    expect(clock.now()).toBeLessThan(4 * 1_500);
    await worker.close();
  });
});

describe('live times that drift from what was measured', () => {
  test('replace it once the newest 50 have another median', async () => {
    const parts = await readyWorker();
    expect(newestTimes(parts.link)).toMatchObject({ count: 20 });
    await serve(parts, 49, 20);
    expect(newestTimes(parts.link)).toMatchObject({ count: 69 });
    await serve(parts, 1, 20);
    const { count, medianMs } = newestTimes(parts.link);
    expect(count).toBe(50);
    expect(medianMs).toBeCloseTo(20, 0);
    await parts.worker.close();
  });

  test('are added to it as long as they are within a factor of 1.5', async () => {
    const parts = await readyWorker();
    await serve(parts, 100, 14);
    expect(newestTimes(parts.link)).toMatchObject({ count: 120 });
    await parts.worker.close();
  });
});

describe('a replica that has not been run for six hours', () => {
  test('is measured again', async () => {
    const { clock, engine, link, worker } = await readyWorker();
    const { length: before } = engine.runs;
    await clock.advance(6 * HOUR_MS - 1);
    expect(engine.runs).toHaveLength(before);
    for (let minutes = 0; minutes < 10; minutes++) await clock.advance(60_000);
    expect(engine.runs.length).toBeGreaterThan(before);
    expect(newestTimes(link)).toMatchObject({ count: 40 });
    await worker.close();
    expect(clock.pending).toBe(0);
  });

  test('forgets what was measured before when it has become another', async () => {
    const { clock, engine, link, worker } = await readyWorker();
    engine.computeMs = 20;
    for (let tens = 0; tens < 37; tens++) await clock.advance(600_000);
    const { count, medianMs } = newestTimes(link);
    expect(count).toBe(20);
    expect(medianMs).toBeCloseTo(20, 0);
    await worker.close();
  });

  test('is left alone when requests have run it meanwhile', async () => {
    const parts = await readyWorker();
    for (let hours = 0; hours < 12; hours++) {
      await serve(parts, 1, 10);
      for (let tens = 0; tens < 6; tens++) await parts.clock.advance(600_000);
    }
    expect(newestTimes(parts.link)).toMatchObject({ count: 32 });
    await parts.worker.close();
  });

  test('waits for the worker to be idle', async () => {
    const { clock, engine, link, worker } = await readyWorker();
    const other = variantSpec({ revision: 2 });
    link.deliver({ type: 'variant-load', spec: other });
    await link.until(() =>
      link.of('load-report').at(-1)?.replicas[1]?.state === 'ready' ? true : undefined,
    );
    const { length: before } = engine.runs;
    engine.isHolding = true;
    const day = { budgetMs: 24 * HOUR_MS, revision: 2, variant: 'copy' };
    link.execute({ requestId: 'long', ...day }, rows(1, 2));
    for (let tens = 0; tens < 40; tens++) await clock.advance(600_000);
    expect(engine.held).toHaveLength(1);
    engine.isHolding = false;
    engine.held[0]?.finish();
    await settled();
    expect(engine.runs.length).toBeGreaterThan(before);
    await worker.close();
  });
});
