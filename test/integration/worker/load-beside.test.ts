import { Sketch } from '@nearfar/core';
import { createWorker, systemClock } from '@nearfar/worker';
import { expect, test } from 'vitest';
import { digitsInputs, sampleVariant } from '../../support/worker/digits.ts';
import { LatencyLink } from '../../support/worker/latency-link.ts';
import { sourceOf } from '../../support/worker/model-variant.ts';

/** Times alone and beside a load are taken in turns, so that whatever else the machine does falls on both alike. */
const ROUNDS = 7;
const ALONE_MS = 1_500;

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

  /** 99th percentile of requests that are sent one after another until `ended` says so. */
  const p99Ms = async (ended: () => boolean) => {
    const times = new Sketch();
    while (!ended()) times.add(await link.latencyMs({ task, variant }, input === undefined ? [] : [input]));
    expect(times.count).toBeGreaterThan(100);
    return times.quantile(0.99) ?? Number.NaN;
  };
  const passed = (durationMs: number) => {
    const endsAt = performance.now() + durationMs;
    return () => performance.now() >= endsAt;
  };

  await load(served);
  await p99Ms(passed(ALONE_MS)); // The first requests are slower than those that follow.
  const alone = new Sketch();
  const beside = new Sketch();
  for (let round = 0; round < ROUNDS; round++) {
    alone.add(await p99Ms(passed(ALONE_MS)));
    let isLoaded = false;
    const loading = load(loaded).then(() => {
      isLoaded = true;
    });
    beside.add(await p99Ms(() => isLoaded));
    await loading;
    const { spec } = loaded;
    link.deliver({ type: 'variant-unload', task: spec.task, variant: spec.variant, revision: spec.revision });
  }
  await worker.close();
  // The middle one of the rounds: a burst of somebody else's work in one of them does not decide.
  const ratio = (beside.quantile(0.5) ?? Number.NaN) / (alone.quantile(0.5) ?? Number.NaN);
  console.log("ratio", ratio, alone.quantile(.5), beside.quantile(.5));
  expect(ratio).toBeLessThan(1.5);
});
