import { Sketch } from '@nearfar/core';
import { createWorker, systemClock } from '@nearfar/worker';
import { expect, test } from 'vitest';
import { digitsInputs, sampleVariant } from '../../support/worker/digits.ts';
import { LatencyLink } from '../../support/worker/latency-link.ts';
import { sourceOf } from '../../support/worker/model-variant.ts';

/** Times alone and beside a load are taken in turns, so that whatever else the machine does falls on both alike. */
const ROUNDS = 5;
const ALONE_MS = 2_000;

test('the 99th percentile of one variant stays below 1.5 times its own while another one is loaded and measured', async () => {
  const served = await sampleVariant('digits', 'large');
  const loaded = await sampleVariant('fashion', 'large');
  const worker = await createWorker({
    workerId: 'worker',
    tier: 'edge',
    device: 'cpu',
    slots: 1,
    artifacts: sourceOf([served, loaded]),
    clock: systemClock,
    log: () => undefined,
  });
  const link = new LatencyLink();
  worker.connect(link);
  link.deliver({ type: 'worker-welcome', protocol: 1, sessionId: 's', reportEveryMs: 1_000, credits: 8 });
  const load = async ({ spec }: typeof served) => {
    link.deliver({ type: 'variant-load', spec });
    await link.ready(spec.task, spec.variant);
  };
  const [input] = await digitsInputs();
  const { task, variant } = served.spec;

  /** Sends one request after another until `ended` says so, and adds their times. */
  const drive = async (times: Sketch, ended: () => boolean) => {
    while (!ended()) times.add(await link.latencyMs({ task, variant }, input === undefined ? [] : [input]));
  };
  const passed = (durationMs: number) => {
    const endsAt = performance.now() + durationMs;
    return () => performance.now() >= endsAt;
  };

  await load(served);
  await drive(new Sketch(), passed(ALONE_MS));
  const alone = new Sketch();
  const beside = new Sketch();
  for (let round = 0; round < ROUNDS; round++) {
    await drive(alone, passed(ALONE_MS));
    let isLoaded = false;
    const loading = load(loaded).then(() => {
      isLoaded = true;
    });
    await drive(beside, () => isLoaded);
    await loading;
    const { spec } = loaded;
    link.deliver({ type: 'variant-unload', task: spec.task, variant: spec.variant, revision: spec.revision });
  }
  await worker.close();
  const line = (name: string, times: Sketch) =>
    `${name} ${[0.5, 0.9, 0.99, 0.999].map((q) => times.quantile(q)?.toFixed(2))} n ${times.count}`;
  console.log(line('alone', alone), line('beside', beside));
  expect(beside.count).toBeGreaterThan(1_000);
  const ratio = (beside.quantile(0.99) ?? Number.NaN) / (alone.quantile(0.99) ?? Number.NaN);
  expect(ratio).toBeLessThan(1.5);
});
