import { cpus } from 'node:os';
import { Sketch } from '@nearfar/core';
import { float32Tensor, float32Values } from '@nearfar/protocol';
import { createWorker, systemClock } from '@nearfar/worker';
import { expect, test } from 'vitest';
import { digitsInputs, sampleVariant } from '../../support/worker/digits.ts';
import { LatencyLink } from '../../support/worker/latency-link.ts';
import { sourceOf } from '../../support/worker/model-variant.ts';

/** Rounds that count, wanted and needed: each measures alone, then beside a load. */
const ROUNDS = 8;
const LEAST_ROUNDS = 4;
const ALONE_MS = 1_500;
/** Rounds in which other processes take more than this share of one core do not count: two cores are what is promised. */
const OTHERS_SHARE = 0.05;
const GIVE_UP_AFTER_MS = 45_000;

/** Milliseconds of this machine's cores that neither we had nor nobody: other processes, and other machines on its host. */
function othersMs(): number {
  const cores = cpus();
  const idleMs = cores.reduce((sum, { times }) => sum + times.idle, 0);
  const { user, system } = process.cpuUsage();
  return performance.now() * cores.length - idleMs - (user + system) / 1_000;
}

test('the 99th percentile of one variant stays below 1.5 times its own while another one is loaded and measured', async (context) => {
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
  // Four pictures take about 3 ms, as a small MobileNet does.
  const pictures = (await digitsInputs()).slice(0, 4).flatMap((picture) => [...float32Values(picture)]);
  const input = float32Tensor('image', [4, 1, 28, 28], Float32Array.from(pictures));
  const { task, variant } = served.spec;

  /** Times of requests that are sent one after another until `ended` says so. */
  const timesOf = async (ended: () => boolean) => {
    const times = new Sketch();
    while (!ended()) times.add(await link.latencyMs({ task, variant }, [input]));
    return times;
  };
  const passed = (durationMs: number) => {
    const endsAt = performance.now() + durationMs;
    return () => performance.now() >= endsAt;
  };

  await load(served);
  await timesOf(passed(ALONE_MS)); // The first requests are slower than those that follow.
  const alone = new Sketch();
  const beside = new Sketch();
  const isOver = passed(GIVE_UP_AFTER_MS);
  let rounds = 0;
  while (rounds < ROUNDS && !isOver()) {
    const startedAt = performance.now();
    const othersBefore = othersMs();
    const timesAlone = await timesOf(passed(ALONE_MS));
    let isLoaded = false;
    const loading = load(loaded).then(() => {
      isLoaded = true;
    });
    const timesBeside = await timesOf(() => isLoaded);
    await loading;
    const { spec } = loaded;
    link.deliver({ type: 'variant-unload', task: spec.task, variant: spec.variant, revision: spec.revision });
    const othersShare = (othersMs() - othersBefore) / (performance.now() - startedAt);
    if (othersShare > OTHERS_SHARE) continue;
    alone.merge(timesAlone);
    beside.merge(timesBeside);
    rounds += 1;
  }
  await worker.close();
  if (rounds < LEAST_ROUNDS) context.skip(`other processes kept this machine busy: ${rounds} quiet rounds`);
  // Enough that the slowest hundredth is more than one or two.
  expect(Math.min(alone.count, beside.count)).toBeGreaterThan(300);
  const ratio = (beside.quantile(0.99) ?? Number.NaN) / (alone.quantile(0.99) ?? Number.NaN);
  expect(ratio).toBeLessThan(1.5);
});
