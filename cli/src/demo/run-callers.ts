import { setTimeout as sleep } from 'node:timers/promises';
import { modelsResponseSchema, parseOrThrow, type TaskInfo } from '@nearfar/protocol';
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
}

/** Milliseconds between two HTTP calls. */
const HTTP_GAP_MS = 80;
/** Milliseconds between two calls of one page. */
const PAGE_GAP_MS = 250;
const BURST_EVERY_MS = 6_000;
/** A burst holds this many deadlines of work for the edge, so that the edge alone cannot be on time. */
const BURST_IN_DEADLINES = 1.5;
const BURST_SIZE = { least: 20, most: 120 } as const;

/** Lets every caller call at its own pace: open loop, nobody waits for the other. */
export async function runCallers(stage: Stage): Promise<CallResult[]> {
  const { models } = parseOrThrow(
    modelsResponseSchema,
    await stage.getJson('/v1/models'),
    'MESH_INTERNAL',
    'models',
  );
  const next = createCalls(stage.inputs, models);
  const burstSize = await sizeBurst(stage, models);
  const endsAt = performance.now() + stage.seconds * 1_000;
  const overHttp = (kind: CallerKind) => callOverHttp(stage.url, stage.token, next(kind));
  const started = await Promise.all([
    every(HTTP_GAP_MS, endsAt, (turn) => overHttp(HTTP_KINDS[turn % HTTP_KINDS.length] ?? BURST_KIND)),
    every(BURST_EVERY_MS, endsAt, () =>
      Promise.all(Array.from({ length: burstSize }, () => overHttp(BURST_KIND))),
    ),
    every(PAGE_GAP_MS, endsAt, () => stage.nearPage.call(next(NEAR_PAGE_KIND))),
    every(PAGE_GAP_MS, endsAt, (turn) =>
      stage.farPage.call(next(turn % 4 === 3 ? FAR_ACCURATE_PAGE_KIND : FAR_PAGE_KIND)),
    ),
    every(PAGE_GAP_MS, endsAt, () => stage.localPage.call(next(LOCAL_PAGE_KIND))),
  ]);
  return started.flat(2);
}

/** Makes calls in turn over all tasks and pictures. */
function createCalls({ tasks }: DemoInputs, models: readonly TaskInfo[]): (kind: CallerKind) => Call {
  let serial = 0;
  return (kind) => {
    const entry = tasks[serial % tasks.length];
    const input = entry?.tensors[Math.floor(serial / tasks.length) % entry.tensors.length];
    serial += 1;
    if (entry === undefined || input === undefined)
      throw new Error('Expected at least one task with pictures');
    const best = bestOf(models.find(({ task }) => task === entry.task));
    return { kind, task: entry.task, input, minAccuracy: kind.isDemanding ? (best?.accuracy.value ?? 0) : 0 };
  };
}

/** Requests of a burst, from what the most accurate variants take at the edge. */
async function sizeBurst(mesh: MeshReader, models: readonly TaskInfo[]): Promise<number> {
  const times = await readMeasuredTimes(mesh, 'edge');
  const meansMs = models.flatMap((model) => times.get(`${model.task}/${bestOf(model)?.variant}`) ?? []);
  const meanMs = meansMs.reduce((sum, value) => sum + value, 0) / meansMs.length;
  const wanted = Math.ceil((BURST_IN_DEADLINES * BURST_KIND.sloMs) / meanMs);
  return Math.min(BURST_SIZE.most, Math.max(BURST_SIZE.least, Number.isFinite(wanted) ? wanted : 0));
}

function bestOf(task: TaskInfo | undefined) {
  const runnable = task?.variants.filter((variant) => variant.tiers.includes('edge')) ?? [];
  return runnable.toSorted((a, b) => b.accuracy.value - a.accuracy.value)[0];
}

/** Starts `act` each `gapMs` until `endsAt`, whether or not the former ones have ended, and gathers their results. */
async function every<Result>(
  gapMs: number,
  endsAt: number,
  act: (turn: number) => Promise<Result>,
): Promise<Result[]> {
  const started: Promise<Result>[] = [];
  for (let dueAt = performance.now(); dueAt < endsAt; dueAt += gapMs) {
    await sleep(Math.max(0, dueAt - performance.now()));
    started.push(act(started.length));
  }
  return await Promise.all(started);
}
