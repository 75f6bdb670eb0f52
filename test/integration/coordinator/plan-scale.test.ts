import type { Clock } from '@nearfar/core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { FakeWorker } from '../../support/coordinator/fake-worker.ts';
import { sampleTask, sampleVariant } from '../../support/coordinator/sample-task.ts';
import { TestMesh } from '../../support/coordinator/test-mesh.ts';
import { ManualClock } from '../../support/worker/manual-clock.ts';

const PLAN_EVERY_MS = 5_000;
const SLO_MS = 300;
/** What the pool takes for each model; the edge takes six times as long, which is too long for the last one. */
const MODELS = {
  tiny: { accuracy: 0.8, computeMs: 2 },
  small: { accuracy: 0.9, computeMs: 3 },
  large: { accuracy: 0.95, computeMs: 5 },
  huge: { accuracy: 0.99, computeMs: 100 },
} as const;
const SCALED = ['tiny', 'small', 'large'] as const;
/** Requests at once, fewer than either worker has credits for. */
const AT_ONCE = 3;
/** A busy machine may take a while to solve a plan. */
const PATIENTLY = { interval: 2, timeout: 20_000 };
type Model = keyof typeof MODELS;

let mesh: TestMesh;
let clock: ManualClock;
let edge: FakeWorker;
let pool: FakeWorker;
let workers: { report: () => void }[];

beforeEach(async () => {
  clock = new ManualClock();
  const meshClock: Clock = {
    now: () => clock.now(),
    wallTime: () => Date.now(),
    sleep: (delayMs, signal) => clock.sleep(delayMs, signal),
  };
  mesh = await TestMesh.start({
    clock: meshClock,
    reportEveryMs: 600_000,
    maxHedgeShare: 0,
    planEveryMs: PLAN_EVERY_MS,
    planLoads: true,
  });
  const variants = Object.entries(MODELS).map(([model, { accuracy: value }]) =>
    sampleVariant({
      variant: `${model}-fp32-onnx`,
      model,
      accuracy: { value, source: 'declared', sampleSize: 0 },
    }),
  );
  await mesh.coordinator.register(sampleTask({ variants }));
  pool = await mesh.dial('pool');
  edge = await mesh.dial('edge', { tier: 'edge' });
  for (const worker of [pool, edge]) await expect.poll(() => worker.held.size, PATIENTLY).toBe(4);
  workers = [serve(pool, 1), serve(edge, 6)];
  for (let turn = 0; turn < 2; turn += 1) for (const { report } of workers) report();
  const ready = () =>
    mesh.coordinator.fleet
      .list()
      .map((worker) => worker.replicas().filter(({ state }) => state === 'ready').length);
  await expect.poll(ready, PATIENTLY).toEqual([4, 4]);
});
afterEach(() => mesh.close());

/** Loads take until the next plan, and what is not ready is refused. */
function serve(worker: FakeWorker, slowness: number): { report: () => void } {
  const ready = new Set<string>();
  worker.profile(({ variant }) => slowness * (MODELS[modelOf(variant)]?.computeMs ?? 0));
  worker.onExecute = (request, tensors) => {
    const { task, variant, revision } = request as { task: string; variant: string; revision: number };
    const key = `${task}/${variant}/${revision}`;
    if (ready.has(key) && worker.held.has(key)) worker.answer(request, tensors);
    else worker.refuse(request, 'MESH_VARIANT_NOT_READY');
  };
  const report = () => {
    worker.report(({ task, variant, revision }) =>
      ready.has(`${task}/${variant}/${revision}`) ? 'ready' : 'loading',
    );
    for (const key of ready) if (!worker.held.has(key)) ready.delete(key);
    for (const key of worker.held.keys()) ready.add(key);
  };
  return { report };
}

const modelOf = (variant: string) => variant.slice(0, variant.indexOf('-')) as Model;

const heldBy = (worker: FakeWorker) =>
  [...worker.held.values()].map(({ variant }) => modelOf(variant)).sort();

async function epoch(): Promise<number> {
  const [, answer] = await mesh.json('/v1/plan');
  return (answer as { plan: { epoch: number } | null }).plan?.epoch ?? 0;
}

/** Asks for each model as often as it says, a few at a time, while the next plan is made and carried out. */
async function untilNextPlan(asks: readonly Model[]) {
  const before = await epoch();
  const answers: Awaited<ReturnType<TestMesh['infer']>>[] = [];
  const ask = (model: Model) => mesh.infer({ slo_ms: SLO_MS, min_accuracy: MODELS[model].accuracy });
  await clock.advance(PLAN_EVERY_MS - 10);
  // Those that are under way while it is made.
  const last = asks.slice(-AT_ONCE).map(ask);
  await clock.advance(10);
  await expect.poll(epoch, PATIENTLY).toBeGreaterThan(before);
  answers.push(...(await Promise.all(last)));
  for (let index = 0; index < asks.length - AT_ONCE; index += AT_ONCE) {
    answers.push(...(await Promise.all(asks.slice(index, index + AT_ONCE).map(ask))));
  }
  for (const { report } of workers) report();
  return answers;
}

test('an edge that scales from 0 to 3 variants and back to 0 by the plan refuses nobody', async () => {
  const tiers = new Map<unknown, number>();
  /** Goes on until the edge holds so many variants; gives the answers' tiers. */
  const goOnUntil = async (count: number, atMost: number, asksOf: (turn: number) => readonly Model[]) => {
    tiers.clear();
    for (let turn = 0; turn < atMost; turn += 1) {
      for (const { status, code, parameters } of await untilNextPlan(['huge', ...asksOf(turn)])) {
        expect([status, code]).toEqual([200, undefined]);
        tiers.set(parameters?.tier, (tiers.get(parameters?.tier) ?? 0) + 1);
      }
      if (heldBy(edge).length === count) return;
    }
    throw new Error(`Expected the edge to hold ${count} variants, got ${heldBy(edge)}`);
  };
  /** Each model is asked for so seldom that nothing is worth being held for it. */
  const seldom = (turn: number) => (turn % 8 === 7 ? [SCALED[(turn >> 3) % SCALED.length] as Model] : []);
  const often = () => SCALED.flatMap((model) => Array<Model>(15).fill(model));

  await goOnUntil(0, 100, seldom);
  await goOnUntil(3, 40, often);
  expect(heldBy(edge)).toEqual([...SCALED].sort());
  for (let turn = 0; turn < 5; turn += 1) await goOnUntil(3, 1, often);
  expect(tiers.get('edge')).toBeGreaterThan(30);
  await goOnUntil(0, 200, seldom);
  expect(heldBy(pool)).toHaveLength(4);
}, 60_000);
