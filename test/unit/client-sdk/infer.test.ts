import {
  float32Tensor,
  float32Values,
  MeshError,
  type Parameters,
  type VariantSpec,
} from '@nearfar/protocol';
import { afterEach, describe, expect, test } from 'vitest';
import { parametersOf } from '../../../client-sdk/src/request.ts';
import type { InferOptions } from '../../../client-sdk/src/types.ts';
import { certainly, lease, leasedOption, rowsOf, taskInfo, variantSpec } from './builders.ts';
import { EDGE, edgeAnswer, Page, type PageOptions } from './page.ts';

/** A price on the visitor's energy that makes any remote place cheaper. */
const DEAR_ENERGY = { energyPicoUsdPerMs: 1e9, artifactPicoUsdPerByte: 0, expectedReuse: 1 };

/** What a manifest claims of a variant. */
const accuracyOf = (value: number) => ({ value, source: 'declared', sampleSize: 0 }) as const;
const unreachable = () => Promise.reject(new MeshError('MESH_NETWORK', 'The mesh cannot be reached'));
const broken = (): never => {
  throw new Error('device lost');
};

const pages: Page[] = [];

function pageWith(options: PageOptions = {}): Page {
  const page = new Page(options);
  pages.push(page);
  return page;
}

afterEach(() => {
  for (const page of pages.splice(0)) {
    expect(page.device.view('digits', false).backlogMs).toBe(0);
    page.device.close();
  }
});

describe('parameters of options', () => {
  test('are named as the protocol names them; what is left out is not there', () => {
    const options: InferOptions = {
      sloMs: 100,
      minAccuracy: 0.9,
      degradeTo: 0.8,
      timeoutMs: 1.5,
      onInfeasible: 'reject',
    };
    expect(parametersOf(options)).toEqual({
      slo_ms: 100,
      min_accuracy: 0.9,
      degrade_to: 0.8,
      timeout: 1_500,
      on_infeasible: 'reject',
    });
    expect(parametersOf({ signal: new AbortController().signal })).toEqual({});
  });

  test.each([
    ['slo_ms', { sloMs: 0 }],
    ['slo_ms', { sloMs: Number.NaN }],
    ['slo_target', { sloTarget: 1.01 }],
    ['min_accuracy', { minAccuracy: 1.5 }],
    ['degrade_to', { degradeTo: -0.1 }],
    ['max_cost_usd', { maxCostUsd: -1 }],
    ['prefer', { prefer: 'speed' as never }],
    ['privacy', { privacy: 'secret' as never }],
    ['priority', { priority: 0.5 }],
    ['timeout', { timeoutMs: Number.POSITIVE_INFINITY }],
    ['explain', { explain: 'yes' as never }],
  ])('a bad %s is refused by its name', (field, options: InferOptions) => {
    expect(() => parametersOf(options)).toThrow(
      expect.objectContaining({ code: 'MESH_BAD_PARAMETER', message: expect.stringContaining(`"${field}"`) }),
    );
  });
});

describe('inference in a page', () => {
  test('runs in the page when that is cheapest, and reports it', async () => {
    const page = pageWith();
    await page.ready(5);
    const answer = await page.infer({ slo_ms: 100 });
    expect(answer.placement).toMatchObject({ tier: 'browser', worker: 'page', variant: 'tiny-fp32-onnx' });
    expect(answer.predictions.map(({ label }) => label)).toEqual(['odd', 'even']);
    expect(answer.explanation).toBeUndefined();
    expect(page.sent).toEqual([]);
    expect(page.outcomes).toEqual([
      expect.objectContaining({
        tier: 'browser',
        status: 'ok',
        leaseId: 'lease-1',
        decisionId: answer.placement.decisionId,
        candidates: [],
      }),
    ]);
    expect(page.events).toEqual([{ type: 'outcome', detail: { ...answer.placement, task: 'digits' } }]);
  });

  test('goes to the mesh when the page is too slow', async () => {
    const page = pageWith();
    await page.ready(500);
    const answer = await page.infer({ slo_ms: 100 });
    expect(answer.placement).toMatchObject({ ...EDGE, decisionId: 'decided-remotely', totalMs: 8 });
    expect(page.workers.runs).toEqual([]);
    // What the mesh ran it accounts for itself.
    expect(page.outcomes).toEqual([]);
    expect(page.eventsOf('outcome')).toHaveLength(1);
  });

  test('gives less accuracy only to who allows it, where nothing of what was asked for is on time, and says so', async () => {
    const accurate = variantSpec({ variant: 'large-fp32-onnx', model: 'large', accuracy: accuracyOf(0.96) });
    const busy = leasedOption({
      variant: accurate.variant,
      model: 'large',
      accuracy: 0.96,
      wait: certainly(150),
    });
    const page = pageWith({
      granted: lease({ remote: [busy] }),
      onRequest: async () => edgeAnswer({ variant: accurate.variant, accuracy: 0.96 }),
    });
    await page.ready(5);
    const task = taskInfo({}, [variantSpec(), accurate]);
    const ask = async (over: Parameters) =>
      (await page.infer({ slo_ms: 100, min_accuracy: 0.95, ...over }, undefined, undefined, task)).placement;
    expect(await ask({ degrade_to: 0.85 })).toMatchObject({ tier: 'browser', accuracy: 0.9, degraded: true });
    expect(page.sent).toEqual([]);
    for (const demands of [{}, { degrade_to: 0.85, slo_ms: 500 }, { degrade_to: 0.92 }]) {
      const placement = await ask(demands);
      expect(placement).toMatchObject({ tier: 'edge', accuracy: 0.96 });
      expect(placement).not.toHaveProperty('degraded');
    }
    expect(page.sent.map(({ parameters }) => parameters.degrade_to)).toEqual([undefined, 0.85, 0.92]);
    await expect(ask({ on_infeasible: 'reject' })).rejects.toMatchObject({
      code: 'MESH_NO_FEASIBLE_PLACEMENT',
    });
    expect(page.eventsOf('outcome')[0]).toMatchObject({ degraded: true });
  });

  test('tells whether the deadline was met on the clock of the caller', async () => {
    const late = pageWith({
      onRun: (page) => {
        page.clock.ms += 101;
        return [rowsOf('y', 1, 3)];
      },
    });
    await late.ready(5);
    expect((await late.infer({ slo_ms: 100 })).placement).toMatchObject({ clientMs: 101, sloMet: false });
  });

  test('a run in the page that fails goes on remotely and says so', async () => {
    const page = pageWith({ onRun: broken });
    await page.ready(5);
    const answer = await page.infer({ slo_ms: 100 });
    expect(answer.placement).toMatchObject(EDGE);
    expect(page.eventsOf('failover')).toEqual([
      { task: 'digits', from: 'browser', reason: expect.stringContaining('device lost') },
    ]);
    expect(page.outcomes).toEqual([expect.objectContaining({ tier: 'browser', status: 'failed' })]);
  });

  test('a variant that fails three times in a row is no candidate any more', async () => {
    const page = pageWith({ onRun: broken });
    await page.ready(5);
    for (let attempt = 0; attempt < 4; attempt += 1) await page.infer();
    expect(page.eventsOf('failover')).toHaveLength(3);
    expect(page.device.unavailable).toEqual([expect.objectContaining({ variant: 'tiny-fp32-onnx' })]);
  });

  test('a local_only request never leaves the page, whatever happens', async () => {
    const page = pageWith({ onRun: broken });
    await page.ready(5);
    await expect(page.infer({ privacy: 'local_only' })).rejects.toMatchObject({
      code: 'MESH_EXECUTION_FAILED',
    });
    expect(page.sent).toEqual([]);
    expect(page.eventsOf('failover')).toEqual([]);
  });

  test('a mesh that cannot be reached is replaced by a ready variant, also a late one', async () => {
    const page = pageWith({ onRequest: unreachable });
    await page.ready(500);
    const answer = await page.infer({ slo_ms: 100 });
    expect(answer.placement).toMatchObject({ tier: 'browser', worker: 'page' });
    expect(page.sent).toHaveLength(1);
    expect(page.eventsOf('failover')).toEqual([
      { task: 'digits', from: 'edge', reason: 'The mesh cannot be reached' },
    ]);
  });

  test('the replacement breaks no demand but the deadline', async () => {
    const granted = lease({ remote: [leasedOption({ accuracy: 0.95 })] });
    const page = pageWith({ granted, onRequest: unreachable });
    await page.ready(5);
    await expect(page.infer({ min_accuracy: 0.92 })).rejects.toMatchObject({ code: 'MESH_NETWORK' });
    expect(page.workers.runs).toEqual([]);
  });

  test('the replacement is chosen by the policy: the cheapest that is on time, with what is spent', async () => {
    const onRequest = async ({ clock }: Page) => {
      clock.ms += 30;
      return await unreachable();
    };
    const page = pageWith({ granted: lease({ remote: [leasedOption({ accuracy: 0.99 })] }), onRequest });
    await page.ready(10, { variant: 'cheap', accuracy: accuracyOf(0.9) });
    await page.ready(11, { variant: 'accurate', accuracy: accuracyOf(0.95) });
    await page.ready(200, { variant: 'late', accuracy: accuracyOf(0.97) });
    const demands = { slo_ms: 100, prefer: 'accuracy', explain: true } as const;
    const { placement, explanation } = await page.infer(demands);
    expect(placement).toMatchObject({ tier: 'browser', variant: 'accurate', predictedMs: 41 });
    expect(explanation?.map(({ variant, verdict }) => [variant, verdict])).toEqual([
      ['cheap', 'feasible'],
      ['accurate', 'chosen'],
      ['late', 'infeasible'],
    ]);
    expect(page.outcomes[0]).toMatchObject({ variant: 'accurate', predictedMs: 41, candidates: explanation });
  });

  test('a caller that wants no late answer gets none from the replacement either', async () => {
    const page = pageWith({ onRequest: unreachable });
    await page.ready(500);
    await expect(page.infer({ slo_ms: 100, on_infeasible: 'reject' })).rejects.toMatchObject({
      code: 'MESH_NETWORK',
    });
    expect(page.workers.runs).toEqual([]);
  });

  test('after a run in the page that failed, the explanation is of what was decided then', async () => {
    const onRun = ({ clock }: Page) => {
      clock.ms += 40;
      return broken();
    };
    const page = pageWith({ onRun });
    await page.ready(5);
    const { placement, explanation } = await page.infer({ slo_ms: 100, explain: true });
    expect(placement).toMatchObject(EDGE);
    expect(explanation).toEqual([
      expect.objectContaining({
        tier: 'edge',
        verdict: 'chosen',
        spentMs: 40,
        predictedMs: placement.predictedMs,
      }),
    ]);
  });

  test('without a ready variant the failure of the mesh reaches the caller', async () => {
    const page = pageWith({ onRequest: unreachable });
    await expect(page.infer()).rejects.toMatchObject({ code: 'MESH_NETWORK' });
    expect(page.events).toEqual([]);
  });

  test('a request that the mesh found wrong is not tried in the page', async () => {
    const wrong = new MeshError('MESH_BAD_TENSOR', 'Unknown input "x"');
    const page = pageWith({
      granted: lease({ prices: DEAR_ENERGY }),
      onRequest: () => Promise.reject(wrong),
    });
    await page.ready(5);
    await expect(page.infer()).rejects.toBe(wrong);
    expect(page.workers.runs).toEqual([]);
  });

  test('the mesh gets what is left of the deadline without the way there and back', async () => {
    const page = pageWith({
      roundTripMs: 20,
      onRequest: async ({ clock }) => {
        clock.ms += 28;
        return edgeAnswer({ total_ms: 8 });
      },
    });
    const { placement } = await page.infer({ slo_ms: 100, explain: true, min_accuracy: 0.5 });
    // 20 ms went by for the lease, 20 ms are left over for the round trip.
    expect(page.sent).toEqual([
      {
        task: '/v2/models/digits/infer',
        parameters: { binary_data_output: true, slo_ms: 60, min_accuracy: 0.5, explain: false },
      },
    ]);
    expect(placement).toMatchObject({ totalMs: 8, clientMs: 48, sloMet: true });
    // Lease and request both took 20 ms of travel.
    expect(page.network.path.rtt.meanMs).toBe(20);
  });

  test('a deadline that has passed on the way to the lease is not sent as zero', async () => {
    const page = pageWith({ roundTripMs: 200 });
    await page.infer({ slo_ms: 100 });
    expect(page.sent[0]?.parameters.slo_ms).toBe(1);
  });

  test('explain gives the candidates, to the caller and into the outcome', async () => {
    const page = pageWith();
    await page.ready(5);
    const answer = await page.infer({ explain: true });
    expect(answer.explanation).toEqual([
      expect.objectContaining({ tier: 'browser', verdict: 'chosen', reasons: [] }),
      expect.objectContaining({ tier: 'edge', verdict: 'feasible' }),
    ]);
    expect(page.outcomes[0]?.candidates).toEqual(answer.explanation);
  });

  test('when nothing is feasible the refusal says how far the demand would have to give way', async () => {
    const page = pageWith();
    await page.ready(5);
    await expect(page.infer({ min_accuracy: 0.99 })).rejects.toMatchObject({
      code: 'MESH_NO_FEASIBLE_PLACEMENT',
      details: { nearest: { min_accuracy: 0.9 } },
    });
    expect(page.sent).toEqual([]);
    expect(page.workers.runs).toEqual([]);
  });

  test('a refusal says why this page has no variant ready', async () => {
    const page = pageWith();
    await page.device.reject(variantSpec(), 'ort-wasm', 'wrong numbers');
    await expect(page.infer({ privacy: 'local_only' })).rejects.toMatchObject({
      code: 'MESH_NO_FEASIBLE_PLACEMENT',
      details: { nearest: { privacy: 'no_pool' }, unavailable: [{ reason: 'wrong numbers' }] },
    });
  });

  test('without any place the mesh has no capacity, and a retry may help', async () => {
    const page = pageWith({ granted: lease({ remote: [] }) });
    await expect(page.infer()).rejects.toMatchObject({ code: 'MESH_NO_CAPACITY', retryAfterSeconds: 1 });
  });

  test('an abort during a run gives the reason of the caller and counts as cancelled', async () => {
    const caller = new AbortController();
    const page = pageWith({
      onRun: () => {
        caller.abort(new Error('gone'));
        return [];
      },
    });
    await page.ready(5);
    await expect(page.infer({}, caller.signal)).rejects.toThrow('gone');
    expect(page.outcomes).toEqual([expect.objectContaining({ status: 'cancelled' })]);
    expect(page.eventsOf('failover')).toEqual([]);
    expect(page.sent).toEqual([]);
  });

  test('a detector tells what is where', async () => {
    const page = pageWith({
      onRun: () => [
        float32Tensor('scores', [1, 2, 2], Float32Array.of(0.1, 0.2, 0.3, 0.9)),
        float32Tensor('boxes', [1, 2, 4], Float32Array.of(0, 0, 0.5, 0.5, 0.25, 0.5, 0.75, 1)),
      ],
    });
    const outputs: VariantSpec['outputs'] = [
      { name: 'scores', datatype: 'FP32', shape: [-1, 2, 2] },
      { name: 'boxes', datatype: 'FP32', shape: [-1, 2, 4] },
    ];
    await page.ready(5, { outputs });
    const rule = { kind: 'detection', scores: 'scores', boxes: 'boxes', activation: 'none' } as const;
    const postprocess = { ...rule, hasBackground: false, minScore: 0.5, maxOverlap: 0.5 };
    const task = taskInfo({ postprocess }, [variantSpec({ outputs })]);
    const answer = await page.infer({}, undefined, undefined, task);
    expect(answer.predictions).toEqual([
      { label: 'odd', score: expect.closeTo(0.9), box: [0.25, 0.5, 0.75, 1] },
    ]);
  });

  test('a variant that is ready in another revision than the inputs were made for does not run them', async () => {
    const page = pageWith();
    await page.ready(5, { revision: 2 });
    const answer = await page.infer({ slo_ms: 100 }, undefined, undefined, taskInfo());
    expect(answer.placement).toMatchObject(EDGE);
    expect(page.workers.runs).toEqual([]);
  });

  test('a batch gives tensors and no predictions', async () => {
    const page = pageWith({ onRun: () => [rowsOf('y', 1, 3, 4, 2)] });
    await page.ready(5);
    const answer = await page.infer({}, undefined, [rowsOf('x', 1, 2, 3, 4)]);
    expect(answer.predictions).toEqual([]);
    expect(answer.outputs.flatMap((output) => [...float32Values(output)])).toEqual([1, 3, 4, 2]);
  });
});

describe('a page whose lease has ended', () => {
  test('does not wait for a new one when only the page can still be on time', async () => {
    const page = pageWith({ roundTripMs: 150, leases: 1 });
    await page.ready(5);
    await page.infer({ slo_ms: 10_000 });
    page.clock.ms += 60_000;
    const answer = await page.infer({ slo_ms: 120 });
    expect(answer.placement).toMatchObject({ tier: 'browser', sloMet: true });
  });

  test('waits for a new one when there is time', async () => {
    const page = pageWith({ roundTripMs: 150, granted: lease({ prices: DEAR_ENERGY }) });
    await page.ready(5);
    await page.infer({ slo_ms: 10_000 });
    page.clock.ms += 60_000;
    const answer = await page.infer({ slo_ms: 10_000 });
    expect(answer.placement.tier).toBe('edge');
  });

  test.each([
    ['MESH_RATE_LIMITED', 'any'],
    ['MESH_NO_CAPACITY', 'any'],
    ['MESH_UNAUTHENTICATED', 'local_only'],
    ['MESH_INTERNAL', 'local_only'],
  ] as const)('goes on by itself after %s when privacy is %s', async (code, privacy) => {
    const page = pageWith({ leases: 1, leaseError: new MeshError(code, 'No lease') });
    await page.ready(5);
    await page.infer();
    page.clock.ms += 60_000;
    expect((await page.infer({ privacy })).placement.tier).toBe('browser');
  });

  test('tells the error of the mesh when there is nothing to run, or when it will not pass', async () => {
    const limited = new MeshError('MESH_RATE_LIMITED', 'Slowly', { retryAfterSeconds: 7 });
    const empty = pageWith({ leases: 1, leaseError: limited });
    await empty.infer();
    empty.clock.ms += 60_000;
    await expect(empty.infer()).rejects.toBe(limited);

    const stranger = new MeshError('MESH_UNAUTHENTICATED', 'Who is it?');
    const page = pageWith({ leases: 1, leaseError: stranger });
    await page.ready(5);
    await page.infer();
    page.clock.ms += 60_000;
    await expect(page.infer()).rejects.toBe(stranger);
  });
});
