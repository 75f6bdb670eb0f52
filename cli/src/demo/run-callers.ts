import { setTimeout as sleep } from 'node:timers/promises';
import { modelsResponseSchema, parseOrThrow, type TaskInfo, type Tensor } from '@nearfar/protocol';
import type { Call, CallerKind, CallResult } from './calls.ts';
import { BURST_KIND, callOverHttp, HTTP_KINDS } from './http-callers.ts';
import type { DemoInputs } from './inputs.ts';
import { type MeshReader, readMeasuredTimes } from './mesh-reader.ts';
import {
  type CallingPage,
  FAR_ACCURATE_PAGE_KIND,
  FAR_PAGE_KIND,
  LOCAL_PAGE_KIND,
  NEAR_PAGE_KIND,
} from './page-callers.ts';

/** Everything that the callers need. */
export interface Stage extends MeshReader {
  readonly inputs: DemoInputs;
  readonly seconds: number;
  readonly farPage: CallingPage;
  readonly localPage: CallingPage;
  readonly nearPage: CallingPage;
  /** Ends the calling before its time. */
  readonly signal: AbortSignal;
}

/** Milliseconds between two HTTP calls. */
const HTTP_GAP_MS = 80;
/** Milliseconds between two calls of one page. Without a GPU, three pages keep about one core busy at this pace. */
const PAGE_GAP_MS = 500;
const BURST_EVERY_MS = 6_000;
/**
 * A burst holds this many deadlines of work: more than the edge alone can be sure to do in time, and not more than edge
 * and pool together can.
 */
const BURST_IN_DEADLINES = 0.6;
/** Pictures in one request of a burst. */
const BURST_ROWS = 8;
const MOST_IN_BURST = 100;

/**
 * Lets every caller call at its own pace: open loop, nobody waits for the other. Rejects when the stage's signal
 * aborts.
 */
export async function runCallers(stage: Stage): Promise<CallResult[]> {
  const { models } = parseOrThrow(
    modelsResponseSchema,
    await stage.getJson('/v1/models'),
    'MESH_INTERNAL',
    'models',
  );
  const next = createCalls(stage.inputs, models);
  const burstSize = await sizeBurst(stage, models);
  const startsAt = performance.now();
  const endsAt = startsAt + stage.seconds * 1_000;
  const overHttp = (call: Call) => callOverHttp(stage.url, stage.token, call);
  /** Starts `act` each `gapMs`, first `phase` of a gap (0 to 1) after the start: callers do not move in step. */
  const every = <Result>(gapMs: number, phase: number, act: (turn: number) => Promise<Result>) =>
    repeat(gapMs, startsAt + phase * gapMs, endsAt, stage.signal, act);
  const started = await Promise.all([
    every(HTTP_GAP_MS, 0, (turn) => overHttp(next(HTTP_KINDS[turn % HTTP_KINDS.length] ?? BURST_KIND))),
    every(BURST_EVERY_MS, 1 / 4, () =>
      Promise.all(Array.from({ length: burstSize }, () => overHttp(next(BURST_KIND, BURST_ROWS)))),
    ),
    every(PAGE_GAP_MS, 0, () => stage.nearPage.call(next(NEAR_PAGE_KIND))),
    every(PAGE_GAP_MS, 1 / 3, (turn) =>
      stage.farPage.call(next(turn % 4 === 3 ? FAR_ACCURATE_PAGE_KIND : FAR_PAGE_KIND)),
    ),
    every(PAGE_GAP_MS, 2 / 3, () => stage.localPage.call(next(LOCAL_PAGE_KIND))),
  ]);
  return started.flat(2);
}

/** Makes calls in turn over all tasks and pictures, with `rows` pictures in each. */
function createCalls(
  { tasks }: DemoInputs,
  models: readonly TaskInfo[],
): (kind: CallerKind, rows?: number) => Call {
  let serial = 0;
  return (kind, rows = 1) => {
    const entry = tasks[serial % tasks.length];
    if (entry === undefined || entry.tensors.length < rows)
      throw new Error(`Expected at least one task with ${rows} pictures`);
    const first = Math.floor(serial / tasks.length) % (entry.tensors.length - rows + 1);
    const input = inOneBatch(entry.tensors.slice(first, first + rows));
    serial += 1;
    const best = bestOf(models.find(({ task }) => task === entry.task));
    return { kind, task: entry.task, input, minAccuracy: kind.isDemanding ? (best?.accuracy.value ?? 0) : 0 };
  };
}

/** Requests of a burst, from what the most accurate variants take at the edge. */
async function sizeBurst(mesh: MeshReader, models: readonly TaskInfo[]): Promise<number> {
  const times = await readMeasuredTimes(mesh, 'edge');
  const meansMs = models.flatMap((model) => times.get(`${model.task}/${bestOf(model)?.variant}`) ?? []);
  const meanMs = meansMs.reduce((sum, value) => sum + value, 0) / meansMs.length;
  const wanted = Math.ceil((BURST_IN_DEADLINES * BURST_KIND.sloMs) / (BURST_ROWS * meanMs));
  return Number.isFinite(wanted) ? Math.min(MOST_IN_BURST, wanted) : MOST_IN_BURST;
}

/** Pictures joined along the batch axis; a single one stays as it is, so that equal calls share an input. */
function inOneBatch(tensors: readonly Tensor[]): Tensor {
  const [first] = tensors;
  if (first === undefined) throw new Error('Expected at least one picture');
  if (tensors.length === 1) return first;
  const data = new Uint8Array(tensors.length * first.data.byteLength);
  for (const [index, tensor] of tensors.entries()) data.set(tensor.data, index * first.data.byteLength);
  return { ...first, shape: [tensors.length, ...first.shape.slice(1)], data };
}

function bestOf(task: TaskInfo | undefined) {
  const runnable = task?.variants.filter((variant) => variant.tiers.includes('edge')) ?? [];
  return runnable.toSorted((a, b) => b.accuracy.value - a.accuracy.value)[0];
}

/** Starts `act` each `gapMs`, whether or not the former ones have ended, and gathers their results. */
async function repeat<Result>(
  gapMs: number,
  startsAt: number,
  endsAt: number,
  signal: AbortSignal,
  act: (turn: number) => Promise<Result>,
): Promise<Result[]> {
  const started: Promise<Result>[] = [];
  for (let dueAt = startsAt; dueAt < endsAt; dueAt += gapMs) {
    await sleep(Math.max(0, dueAt - performance.now()), undefined, { signal });
    started.push(act(started.length));
  }
  return await Promise.all(started);
}
