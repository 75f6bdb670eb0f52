import type { Decision, JudgedOption, Reason } from '@nearfar/core';
import { describe, expect, test, vi } from 'vitest';
import {
  createLeaseId,
  createToken,
  isLeaseOf,
  TokenGate,
  verifyToken,
} from '../../../coordinator/src/auth.ts';
import { parseRange } from '../../../coordinator/src/routes/artifacts.ts';
import { admitInputs, admitSpec, parametersFromQuery } from '../../../coordinator/src/steps/admit.ts';
import { clampSketch } from '../../../coordinator/src/steps/learn.ts';
import { refusalError } from '../../../coordinator/src/steps/place.ts';
import { sampleTask } from '../../support/coordinator/sample-task.ts';

const SECRET = new Uint8Array(32).fill(1);
const TARGET = { task: sampleTask(), variant: undefined };

function code(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return undefined;
}

describe('admit', () => {
  test('fills in the manifest’s defaults, then ours', () => {
    expect(admitSpec(TARGET, { min_accuracy: 0.5 })).toMatchObject({
      sloMs: 200,
      sloTarget: 0.99,
      minAccuracy: 0.5,
    });
  });

  test.each(['NaN', 'Infinity', '', '1,5', '0x10', ' 5', '--1', '1e9999'])(
    'takes no "%s" for a number',
    (text) => {
      expect(code(() => parametersFromQuery(new URLSearchParams({ slo_ms: text })))).toBe(
        'MESH_BAD_PARAMETER',
      );
    },
  );

  test('reads numbers, booleans and words of a query, and passes over what is not ours', () => {
    const query = new URLSearchParams('slo_ms=12.5&explain=true&privacy=no_pool&utm=x');
    expect(parametersFromQuery(query)).toEqual({ slo_ms: 12.5, explain: true, privacy: 'no_pool' });
  });

  test('counts the rows of a batch and refuses an empty one', () => {
    const tensor = (rows: number) => ({
      name: 'image',
      datatype: 'FP32' as const,
      shape: [rows, 1, 2, 2],
      data: new Uint8Array(rows * 16),
    });
    expect(admitInputs(TARGET, [tensor(3)])).toBe(3);
    expect(code(() => admitInputs(TARGET, [tensor(0)]))).toBe('MESH_BAD_TENSOR');
  });
});

describe('place', () => {
  const refused = (...candidates: Reason['code'][][]): Decision => ({
    candidates: candidates.map((codes) => judged(codes)),
    choice: { kind: 'refused', message: 'no', nearest: {} },
  });
  const errorCode = (decision: Decision, privacy: 'any' | 'local_only' = 'any') =>
    refusalError(decision, 'd1', privacy).code;

  test('calls it a lack of capacity when what is in the way passes by itself', () => {
    expect(errorCode(refused())).toBe('MESH_NO_CAPACITY');
    expect(errorCode(refused(['not-ready', 'not-profiled'], ['privacy']))).toBe('MESH_NO_CAPACITY');
    expect(errorCode(refused(['queue-full', 'too-slow']))).toBe('MESH_NO_CAPACITY');
  });

  test('says when to come back where queues alone are in the way', () => {
    const { candidates } = refused(['too-slow']);
    const error = (retryAfterMs: number) =>
      refusalError(
        { candidates, choice: { kind: 'refused', message: 'no', nearest: {}, retryAfterMs } },
        'd1',
        'any',
      );
    expect(error(4_200)).toMatchObject({ code: 'MESH_NO_CAPACITY', retryAfterSeconds: 5 });
    expect(error(3)).toMatchObject({ code: 'MESH_NO_CAPACITY', retryAfterSeconds: 1 });
    expect(error(1e9).code).toBe('MESH_NO_FEASIBLE_PLACEMENT');
  });

  test('calls it infeasible when the demands are in the way', () => {
    expect(errorCode(refused(['too-slow']))).toBe('MESH_NO_FEASIBLE_PLACEMENT');
    expect(errorCode(refused(['not-ready', 'cost-above-cap']))).toBe('MESH_NO_FEASIBLE_PLACEMENT');
    expect(errorCode(refused(), 'local_only')).toBe('MESH_NO_FEASIBLE_PLACEMENT');
  });
});

describe('learn', () => {
  test('bounds how much one page counts, and takes sums from the buckets', () => {
    const clamped = clampSketch({ buckets: [[100, 1_000_000]], sum: 1, sumOfSquares: 1 });
    expect(clamped?.buckets).toEqual([[100, 1_000]]);
    // Bucket 100 of a 1 % sketch holds about 7.31 ms.
    expect((clamped?.sum ?? 0) / 1_000).toBeCloseTo(7.31, 1);
  });

  test('throws away what no device can have measured', () => {
    expect(clampSketch({ buckets: [[-1_000, 5]], sum: 0, sumOfSquares: 0 })).toBeUndefined();
    expect(clampSketch({ buckets: [[5_000, 5]], sum: 0, sumOfSquares: 0 })).toBeUndefined();
    expect(clampSketch({ buckets: [], sum: 3, sumOfSquares: 9 })).toBeUndefined();
  });
});

describe('tokens', () => {
  test('hold their role and subject, and only under the same secret', async () => {
    const token = await createToken(SECRET, { role: 'worker', subject: 'w' });
    expect(await verifyToken(SECRET, token)).toMatchObject({ role: 'worker', subject: 'w', tier: 'pool' });
    const edge = await createToken(SECRET, { role: 'worker', subject: 'w', tier: 'edge' });
    expect(await verifyToken(SECRET, edge)).toMatchObject({ tier: 'edge' });
    await expect(verifyToken(new Uint8Array(32), token)).rejects.toMatchObject({
      code: 'MESH_UNAUTHENTICATED',
    });
  });

  test('end at their second, also while they are remembered', async () => {
    let wallTime = Date.now();
    const gate = new TokenGate(SECRET, { wallTime: () => wallTime });
    const token = await createToken(SECRET, { role: 'client', subject: 'c', expiresInSeconds: 60 });
    expect(await gate.identify(`Bearer ${token}`)).toMatchObject({ subject: 'c' });
    vi.useFakeTimers({ now: wallTime });
    try {
      wallTime += 61_000;
      vi.setSystemTime(wallTime);
      await expect(gate.identify(`Bearer ${token}`)).rejects.toMatchObject({ code: 'MESH_UNAUTHENTICATED' });
    } finally {
      vi.useRealTimers();
    }
  });

  test('end', async () => {
    const token = await createToken(SECRET, { role: 'client', subject: 'c', expiresInSeconds: -1 });
    await expect(verifyToken(SECRET, token)).rejects.toMatchObject({ code: 'MESH_UNAUTHENTICATED' });
  });

  test('a lease is no token, and holds for its subject and task alone', async () => {
    const lease = await createLeaseId(SECRET, {
      id: 'one',
      subject: 'page',
      task: 'sample',
      ttlMs: 5_000,
    });
    await expect(verifyToken(SECRET, lease)).rejects.toMatchObject({ code: 'MESH_UNAUTHENTICATED' });
    expect(await isLeaseOf(SECRET, lease, 'page', 'sample')).toBe(true);
    expect(await isLeaseOf(SECRET, lease, 'page', 'other')).toBe(false);
    expect(await isLeaseOf(SECRET, lease, 'other', 'sample')).toBe(false);
    expect(await isLeaseOf(SECRET, 'garbage', 'page', 'sample')).toBe(false);
  });
});

describe('ranges', () => {
  test.each([
    ['bytes=0-3', { start: 0, end: 4 }],
    ['bytes=4-', { start: 4, end: 10 }],
    ['bytes=-3', { start: 7, end: 10 }],
    ['bytes=5-99', { start: 5, end: 10 }],
    ['bytes=0-1,3-4', undefined],
    ['lines=1-2', undefined],
    ['bytes=5-2', undefined],
    [undefined, undefined],
  ])('%s', (header, expected) => {
    expect(parseRange(header, 10)).toEqual(expected);
  });

  test('past the end are refused', () => {
    expect(code(() => parseRange('bytes=10-', 10))).toBe('MESH_RANGE_NOT_SATISFIABLE');
    expect(code(() => parseRange('bytes=-0', 10))).toBe('MESH_RANGE_NOT_SATISFIABLE');
  });
});

function judged(codes: readonly Reason['code'][]): JudgedOption {
  const none = { meanMs: 0, varianceMs2: 0 };
  return {
    option: {
      variant: 'v',
      revision: 1,
      model: 'm',
      tier: 'pool',
      worker: 'w',
      deviceClass: 'cpu:w',
      accuracy: 1,
      parts: { network: none, queue: none, compute: none, load: none },
      costPicoUsd: 0,
      worstCostPicoUsd: 0,
      blockers: [],
    },
    spentMs: 0,
    predictedMs: 0,
    tailMs: 0,
    onTimeProbability: 1,
    reasons: codes.map((reason) => ({ code: reason, message: reason })),
  };
}
