import { readPrices } from '@nearfar/coordinator/node';
import { remoteCostPicoUsd, toUsd } from '@nearfar/core';
import type { Tensor } from '@nearfar/protocol';
import type { AnsweredCall } from './calls.ts';
import { inferOverHttp } from './http-callers.ts';
import { type MeshReader, readMeasuredTimes } from './mesh-reader.ts';

/** Largest difference from the same variant run alone, as for the self-test. */
const TOLERANCE = 1e-3;
/** Bytes of an answer, for the cost of running everything in the pool. */
const ANSWER_BYTES = 600;
const ALONE_SLO_MS = 60_000;

/** Runs each answered picture again, alone and pinned to the weights that answered, and compares the raw outputs. */
export async function countWrong(mesh: MeshReader, answers: readonly AnsweredCall[]): Promise<number> {
  const alone = new Map<Tensor, Map<string, readonly number[]>>();
  let wrong = 0;
  for (const { call, variant, scores } of answers) {
    const reference = onWorkers(variant);
    const known = alone.get(call.input) ?? new Map<string, readonly number[]>();
    alone.set(call.input, known);
    let expected = known.get(reference);
    if (expected === undefined) {
      const url = `${mesh.url}/v2/models/${call.task}/versions/${reference}/infer`;
      expected = (await inferOverHttp(url, mesh.token, call.input, { slo_ms: ALONE_SLO_MS })).scores;
      known.set(reference, expected);
    }
    const isRight =
      scores.length === expected.length &&
      scores.every((score, index) => Math.abs(score - (expected[index] ?? Number.NaN)) <= TOLERANCE);
    if (!isRight) wrong += 1;
  }
  return wrong;
}

/** What an answer would have cost in the pool, by the measured time of the same weights there. */
export async function createPoolCost(mesh: MeshReader): Promise<(answer: AnsweredCall) => number> {
  const prices = await readPrices();
  const times = await readMeasuredTimes(mesh, 'pool');
  const usdPerHour = prices.pool.usdPerHour.cpu;
  return ({ call, variant }) => {
    const meanMs = times.get(`${call.task}/${onWorkers(variant)}`) ?? 0;
    const rows = call.input.shape[0] ?? 1;
    return toUsd(remoteCostPicoUsd(prices, usdPerHour, meanMs * rows, ANSWER_BYTES));
  };
}

/** The form of a variant's weights that workers run: a page's tfjs form has the same weights as the ONNX form. */
function onWorkers(variant: string): string {
  return variant.replace(/-tfjs$/, '-onnx');
}
