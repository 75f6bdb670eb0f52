import { setTimeout as sleep } from 'node:timers/promises';
import { readPrices } from '@nearfar/coordinator/node';
import { type ProfileView, remoteCostPicoUsd, toUsd } from '@nearfar/core';
import { modelsResponseSchema, parseOrThrow, type Tensor, TIERS } from '@nearfar/protocol';
import type { AnsweredCall, Call, CallerKind, CallResult } from './calls.ts';
import { BURST_KIND, callOverHttp, HTTP_KINDS, inferOverHttp } from './http-callers.ts';
import type { DemoInputs } from './inputs.ts';
import {
  type CallingPage,
  FAR_ACCURATE_PAGE_KIND,
  FAR_PAGE_KIND,
  LOCAL_PAGE_KIND,
  NEAR_PAGE_KIND,
} from './page-callers.ts';
import { type DemoReport, summariseCallers, summariseTier } from './report.ts';

/** Everything that the callers need. */
export interface Stage {
  readonly url: string;
  readonly token: string;
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
const BURST_SIZE = 60;
/** Largest difference from the same variant run alone, as for the self-test. */
const TOLERANCE = 1e-3;
/** Bytes of an answer, for the cost of running everything in the pool. */
const ANSWER_BYTES = 600;

/** Lets every caller call at its own pace (open loop: nobody waits for the other), then checks every answer. */
export async function runCallers(stage: Stage): Promise<DemoReport> {
  const models = parseOrThrow(
    modelsResponseSchema,
    await getJson(stage, '/v1/models'),
    'MESH_INTERNAL',
    'models',
  ).models;
  const best = new Map(
    models.map(({ task, variants }) => [task, Math.max(...variants.map((v) => v.accuracy.value))]),
  );
  let serial = 0;
  const next = (kind: CallerKind): Call => {
    const tasks = stage.inputs.tasks;
    const entry = tasks[serial % tasks.length];
    const input = entry?.tensors[Math.floor(serial / tasks.length) % entry.tensors.length];
    serial += 1;
    if (entry === undefined || input === undefined)
      throw new Error('Expected at least one task with pictures');
    return { kind, task: entry.task, input, minAccuracy: kind.isDemanding ? (best.get(entry.task) ?? 0) : 0 };
  };
  const endsAt = performance.now() + stage.seconds * 1_000;
  const overHttp = (kind: CallerKind) => callOverHttp(stage.url, stage.token, next(kind));
  const results = (
    await Promise.all([
      every(HTTP_GAP_MS, endsAt, (turn) => overHttp(HTTP_KINDS[turn % HTTP_KINDS.length] ?? BURST_KIND)),
      every(BURST_EVERY_MS, endsAt, () =>
        Promise.all(Array.from({ length: BURST_SIZE }, () => overHttp(BURST_KIND))),
      ),
      every(PAGE_GAP_MS, endsAt, () => stage.nearPage.call(next(NEAR_PAGE_KIND))),
      every(PAGE_GAP_MS, endsAt, (turn) =>
        stage.farPage.call(next(turn % 4 === 3 ? FAR_ACCURATE_PAGE_KIND : FAR_PAGE_KIND)),
      ),
      every(PAGE_GAP_MS, endsAt, () => stage.localPage.call(next(LOCAL_PAGE_KIND))),
    ])
  ).flat(2);
  return await summarise(stage, results);
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

async function summarise(stage: Stage, results: readonly CallResult[]): Promise<DemoReport> {
  const answers = results.filter((result) => result.status === 'answered');
  const failures = results.filter((result) => result.status === 'failed');
  for (const failure of failures.slice(0, 5)) {
    process.stderr.write(`demo: ${failure.call.kind.name} failed: ${failure.message} (${failure.code})\n`);
  }
  const tiers = TIERS.flatMap((tier) => {
    const own = answers.filter((answer) => answer.tier === tier);
    return own.length === 0 ? [] : [[tier, summariseTier(own)] as const];
  });
  return {
    tiers: Object.fromEntries(tiers),
    errors: failures.length,
    wrong_answers: await countWrong(stage, answers),
    local_only_payloads_sent: stage.localPage.payloadsSent,
    cost_usd: answers.reduce((sum, answer) => sum + answer.costUsd, 0),
    cost_all_pool_usd: await poolCostUsd(stage, answers),
    requests: results.length,
    callers: summariseCallers(results),
    inputs: stage.inputs.source,
    device: stage.farPage.device,
  };
}

/** Runs each answered picture again, alone and pinned to the weights that answered, and compares the raw outputs. */
async function countWrong(stage: Stage, answers: readonly AnsweredCall[]): Promise<number> {
  const alone = new Map<Tensor, Map<string, readonly number[]>>();
  let wrong = 0;
  for (const { call, variant, scores } of answers) {
    // The page's tfjs form is checked against the ONNX form of the same weights, which Node can run.
    const reference = variant.replace(/-tfjs$/, '-onnx');
    const known = alone.get(call.input) ?? new Map<string, readonly number[]>();
    alone.set(call.input, known);
    let expected = known.get(reference);
    if (expected === undefined) {
      const url = `${stage.url}/v2/models/${call.task}/versions/${reference}/infer`;
      expected = (await inferOverHttp(url, stage.token, call.input, { slo_ms: 60_000 })).scores;
      known.set(reference, expected);
    }
    const isRight =
      scores.length === expected.length &&
      scores.every((score, index) => Math.abs(score - (expected[index] ?? Number.NaN)) <= TOLERANCE);
    if (!isRight) wrong += 1;
  }
  return wrong;
}

/** What the same answers would have cost in the pool, by the measured time of the same weights there. */
async function poolCostUsd(stage: Stage, answers: readonly AnsweredCall[]): Promise<number> {
  const prices = await readPrices();
  const { profiles } = (await getJson(stage, '/v1/profiles')) as { profiles: readonly ProfileView[] };
  return answers.reduce((sum, { call, variant }) => {
    const reference = variant.replace(/-tfjs$/, '-onnx');
    const profile = profiles.find(
      (line) =>
        line.task === call.task &&
        line.variant === reference &&
        line.batch === 1 &&
        line.deviceClass.startsWith('cpu'),
    );
    const usdPerHour = prices.pool.usdPerHour.cpu;
    return sum + toUsd(remoteCostPicoUsd(prices, usdPerHour, profile?.meanMs ?? 0, ANSWER_BYTES));
  }, 0);
}

async function getJson(stage: Stage, path: string): Promise<unknown> {
  const response = await fetch(`${stage.url}${path}`, {
    headers: { Authorization: `Bearer ${stage.token}` },
  });
  return await response.json();
}
