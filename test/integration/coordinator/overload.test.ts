import type { Clock } from '@nearfar/core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { cascadeTask } from '../../support/coordinator/sample-task.ts';
import { serveInTurn } from '../../support/coordinator/serve-in-turn.ts';
import { TestMesh } from '../../support/coordinator/test-mesh.ts';
import { ManualClock, settled } from '../../support/worker/manual-clock.ts';

/** What one request of the accurate variant takes, and how often one comes: one and a half times what can be done. */
const LARGE_MS = 39;
const EVERY_MS = LARGE_MS / 1.5;
const TINY_MS = 4;
const SLO_MS = 200;
const REQUESTS = 150;
const STEP_MS = 2;

/** All ask for an accuracy that only the larger variant has, which only one worker can run. */
const CALLERS = {
  plain: {},
  modest: { degrade_to: 0.85 },
  strict: { on_infeasible: 'reject' },
} as const;
type Caller = keyof typeof CALLERS;
type Answer = Awaited<ReturnType<TestMesh['infer']>>;

let mesh: TestMesh;
let clock: ManualClock;
let sentToWorkers: () => number;

beforeEach(async () => {
  clock = new ManualClock();
  const meshClock: Clock = {
    now: () => clock.now(),
    // Tokens know the time of day.
    wallTime: () => Date.now(),
    sleep: (delayMs, signal) => clock.sleep(delayMs, signal),
  };
  mesh = await TestMesh.start({ clock: meshClock, reportEveryMs: 60_000, maxHedgeShare: 0 });
  const { variants, ...task } = cascadeTask();
  await mesh.coordinator.register({ ...task, variants: variants.slice(0, 2) });
  const dial = async (id: string, own: string) => {
    const worker = await mesh.dial(id);
    await expect.poll(() => worker.held.size).toBe(2);
    worker.profile(({ variant }) => (variant.startsWith('large') ? LARGE_MS : TINY_MS));
    worker.report(({ variant }) => (variant.startsWith(own) ? 'ready' : 'failed'));
    serveInTurn(worker, clock, (variant) => (variant.startsWith('large') ? LARGE_MS : TINY_MS));
    await expect.poll(() => mesh.coordinator.fleet.find(id)?.replicas().length).toBe(2);
    return worker;
  };
  const workers = [await dial('strong', 'large'), await dial('weak', 'tiny')];
  sentToWorkers = () =>
    workers.flatMap(({ received }) => received.filter(({ type }) => type === 'execute-request')).length;
});
afterEach(() => mesh.close());

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await settled();
}

/** Callers of these kinds ask in turn, each at its time; gives what they all got in the end. */
async function overload(kinds: readonly Caller[]): Promise<Record<Caller, Answer[]>> {
  const answers: Record<Caller, Answer[]> = { plain: [], modest: [], strict: [] };
  let ended = 0;
  for (let request = 0; request < REQUESTS; request += 1) {
    const kind = kinds[request % kinds.length] as Caller;
    const [before, endedBefore] = [sentToWorkers(), ended];
    void mesh.infer({ slo_ms: SLO_MS, min_accuracy: 0.95, ...CALLERS[kind] }).then((answer) => {
      answers[kind].push(answer);
      ended += 1;
    });
    await until(() => sentToWorkers() > before || ended > endedBefore);
    for (let ms = 0; ms < EVERY_MS; ms += STEP_MS) await clock.advance(STEP_MS);
  }
  while (ended < REQUESTS) await clock.advance(STEP_MS);
  return answers;
}

const isAnswered = ({ status }: Answer) => status === 200;
const isOnTime = ({ parameters }: Answer) => parameters?.slo_met === true;

/** Answered with the accuracy that was asked for, or told that there is no capacity. */
function expectNoLess(answers: readonly Answer[]): void {
  for (const answer of answers) {
    if (isAnswered(answer)) expect(answer.parameters).toMatchObject({ accuracy: 0.96 });
    else expect(answer).toMatchObject({ status: 503, code: 'MESH_NO_CAPACITY' });
    expect(answer.parameters ?? {}).not.toHaveProperty('degraded');
  }
}

test('under one and a half times the load only callers who allow it get less accuracy, and those are answered on time', async () => {
  const { plain, modest, strict } = await overload(['plain', 'modest', 'strict']);
  expectNoLess([...plain, ...strict]);
  expect(strict.filter(isAnswered).filter(isOnTime).length).toBeGreaterThan(
    0.95 * strict.filter(isAnswered).length,
  );
  expect(modest).toHaveLength(REQUESTS / 3);
  for (const answer of modest) {
    expect(isAnswered(answer) && isOnTime(answer)).toBe(true);
    const { accuracy, degraded = false } = answer.parameters ?? {};
    expect([accuracy, degraded]).toEqual(degraded ? [0.9, true] : [0.96, false]);
  }
  const downgraded = modest.filter(({ parameters }) => parameters?.degraded === true);
  expect(downgraded.length).toBeGreaterThan(REQUESTS / 10);
});

test('where nobody allows it, nobody gets less accuracy: some are late or refused', async () => {
  const { plain, strict } = await overload(['plain', 'strict']);
  expectNoLess([...plain, ...strict]);
  const missed = [...plain, ...strict].filter((answer) => !isAnswered(answer) || !isOnTime(answer));
  expect(missed.length).toBeGreaterThan(REQUESTS / 10);
  expect(strict.filter(isAnswered).filter(isOnTime).length).toBeGreaterThan(
    0.95 * strict.filter(isAnswered).length,
  );
});
