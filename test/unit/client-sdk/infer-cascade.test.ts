import { MeshError, type Parameters, type Tensor, type VariantSpec } from '@nearfar/protocol';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { lease, leasedOption, rowsOf, taskInfo, variantSpec } from './builders.ts';
import { edgeAnswer, Page, type PageOptions } from './page.ts';

const CASCADE = 'tiny..large.t90';
const SURE = [rowsOf('y', 0.05, 0.95)];
const UNSURE = [rowsOf('y', 0.4, 0.6)];
/** What the mesh says of an answer by the large stage alone. */
const BY_LARGE = { variant: 'large-fp32-onnx', accuracy: 0.96, cost_usd: 5e-9 };
const BOTH_ON_MESH = { variant: CASCADE, accuracy: 0.95, cascade_stage: 'large' };

const TINY = variantSpec({ accuracy: { value: 0.9, source: 'declared', sampleSize: 0 } });
const TINY_TFJS = { variant: 'tiny-fp32-tfjs', format: 'tfjs' } as const;
const TINY_HALF = { variant: 'tiny-fp16-tfjs', format: 'tfjs', precision: 'fp16' } as const;
const LARGE = {
  variant: 'large-fp32-onnx',
  model: 'large',
  accuracy: { value: 0.96, source: 'declared', sampleSize: 0 },
} as const;
const cascade = variantSpec({
  variant: CASCADE,
  model: 'large',
  precision: 'mixed',
  format: 'cascade',
  artifacts: [],
  accuracy: { value: 0.95, source: 'measured', sampleSize: 1_000 },
  cascade: {
    small: 'tiny-fp32-onnx',
    large: 'large-fp32-onnx',
    threshold: 0.9,
    escalation: { value: 0.2, sampleSize: 1_000, interval: { low: 0.18, high: 0.22 } },
  },
  isBatchable: false,
});
const task = taskInfo({}, [
  TINY,
  variantSpec(TINY_TFJS),
  variantSpec(TINY_HALF),
  variantSpec({ variant: 'tiny-int8-onnx', precision: 'int8' }),
  variantSpec(LARGE),
  cascade,
]);
const granted = lease({
  remote: [
    leasedOption(),
    leasedOption({ variant: LARGE.variant, model: 'large', accuracy: 0.96, costPicoUsd: 4_000 }),
  ],
});

const pages: Page[] = [];

/** A page with the small stage ready unless told otherwise, in 5 ms. */
async function pageWith(options: PageOptions = {}, ready: readonly Partial<VariantSpec>[] = [{}]) {
  const page = new Page({ granted, ...options });
  pages.push(page);
  for (const over of ready) await page.ready(5, over);
  return page;
}

function infer(page: Page, demands: Parameters = {}, inputs: Tensor[] = [rowsOf('x', 1, 2)]) {
  return page.infer({ model: CASCADE, ...demands }, undefined, inputs, task);
}

const WHOLE_PATH = '/v2/models/digits/infer';
const LARGE_PATH = '/v2/models/digits/versions/large-fp32-onnx/infer';

afterEach(() => {
  vi.unstubAllGlobals();
  for (const page of pages.splice(0)) {
    expect(page.device.view('digits', false).backlogMs).toBe(0);
    page.device.close();
  }
});

describe('a cascade whose small stage is ready in the page', () => {
  test('is answered there when that is sure, as the cascade', async () => {
    const page = await pageWith({ onRun: () => SURE });
    // More than the small stage by itself reaches.
    const { placement, predictions } = await infer(page, { min_accuracy: 0.94 });
    expect(placement).toMatchObject({
      tier: 'browser',
      worker: 'page',
      variant: CASCADE,
      accuracy: 0.95,
      cascadeStage: 'small',
    });
    expect(predictions[0]?.label).toBe('odd');
    expect(page.sent).toEqual([]);
    expect(page.outcomes).toEqual([
      expect.objectContaining({
        variant: 'tiny-fp32-onnx',
        status: 'ok',
        decisionId: placement.decisionId,
      }),
    ]);
    expect(page.eventsOf('outcome')).toEqual([{ ...placement, task: 'digits' }]);
  });

  test('stays in the page even where the mesh would be cheaper', async () => {
    const prices = { energyPicoUsdPerMs: 1e9, artifactPicoUsdPerByte: 0, expectedReuse: 1 };
    const page = await pageWith({ granted: { ...granted, prices }, onRun: () => SURE });
    expect((await infer(page)).placement.tier).toBe('browser');
  });

  test('asks the mesh for the large stage alone when it is not sure, in the time and for the money left', async () => {
    const page = await pageWith({
      onRun: ({ clock }) => {
        clock.ms += 30;
        return UNSURE;
      },
      onRequest: async () => edgeAnswer(BY_LARGE),
    });
    const { placement, explanation } = await infer(page, {
      slo_ms: 100,
      min_accuracy: 0.94,
      max_cost_usd: 1e-6,
      explain: true,
    });
    const smallUsd = placement.costUsd - BY_LARGE.cost_usd;
    expect(smallUsd).toBeGreaterThan(0);
    expect(page.sent).toEqual([
      {
        task: LARGE_PATH,
        parameters: expect.objectContaining({ model: 'large', slo_ms: 70, min_accuracy: 0 }),
      },
    ]);
    expect(page.sent[0]?.parameters.max_cost_usd).toBeCloseTo(1e-6 - smallUsd, 12);
    expect(placement).toMatchObject({
      tier: 'edge',
      variant: CASCADE,
      accuracy: 0.95,
      cascadeStage: 'large',
      predictedMs: 35,
      decisionId: 'decided-remotely',
    });
    const chosen = explanation?.filter(({ verdict }) => verdict === 'chosen');
    expect(chosen?.map(({ tier, variant }) => [tier, variant])).toEqual([
      ['browser', 'tiny-fp32-onnx'],
      ['edge', 'large-fp32-onnx'],
    ]);
    expect(page.outcomes).toEqual([expect.objectContaining({ variant: 'tiny-fp32-onnx', status: 'ok' })]);
    expect(page.eventsOf('outcome')).toHaveLength(1);
  });

  test.each([TINY_TFJS, TINY_HALF])(
    'is run there by a form of the model that agrees with it: $variant',
    async (form) => {
      const page = await pageWith({ onRun: () => SURE }, [form]);
      expect((await infer(page)).placement).toMatchObject({ variant: CASCADE, tier: 'browser' });
      expect(page.outcomes).toEqual([expect.objectContaining({ variant: form.variant })]);
    },
  );

  test('answers only what the cascade names', async () => {
    const page = await pageWith({ onRun: () => [...SURE, rowsOf('features', 7, 7)] });
    expect((await infer(page)).outputs.map(({ name }) => name)).toEqual(['y']);
  });

  test.each<[string, readonly Tensor[] | Error, string]>([
    ['fails', new Error('device lost'), 'device lost'],
    ['gives no numbers', [rowsOf('y', Number.NaN, 1)], 'finite'],
  ])('goes on with both stages on the mesh when the run there %s', async (_name, result, reason) => {
    const page = await pageWith({
      onRun: () => {
        if (result instanceof Error) throw result;
        return result;
      },
      onRequest: async () => edgeAnswer(BOTH_ON_MESH),
    });
    const { placement } = await infer(page);
    expect(placement).toMatchObject({ tier: 'edge', variant: CASCADE, cascadeStage: 'large' });
    expect(page.sent).toEqual([
      { task: WHOLE_PATH, parameters: expect.objectContaining({ model: CASCADE }) },
    ]);
    expect(page.eventsOf('failover')).toEqual([
      { task: 'digits', from: 'browser', reason: expect.stringContaining(reason) },
    ]);
  });
});

describe('both stages of a cascade run on the mesh', () => {
  const onMesh = { onRequest: async () => edgeAnswer(BOTH_ON_MESH) };

  async function expectWholeOnMesh(page: Page, ...request: [Parameters?, Tensor[]?]): Promise<void> {
    expect((await infer(page, ...request)).placement).toMatchObject({
      tier: 'edge',
      variant: CASCADE,
      accuracy: 0.95,
      cascadeStage: 'large',
    });
    expect(page.sent.map(({ task: path, parameters }) => [path, parameters.model])).toEqual([
      [WHOLE_PATH, CASCADE],
    ]);
    expect(page.workers.runs).toEqual([]);
  }

  test('when the page has nothing ready, or the small model only in another precision', async () => {
    await expectWholeOnMesh(await pageWith(onMesh, []));
    await expectWholeOnMesh(
      await pageWith(onMesh, [{ variant: 'tiny-int8-onnx', precision: 'int8' }, LARGE]),
    );
  });

  test('when the small stage would be late in the page', async () => {
    await expectWholeOnMesh(await pageWith(onMesh), { slo_ms: 3 });
  });

  test('when the page is hidden', async () => {
    vi.stubGlobal('document', { visibilityState: 'hidden', hidden: true });
    await expectWholeOnMesh(await pageWith(onMesh));
  });

  test('for more than one input', async () => {
    await expectWholeOnMesh(await pageWith(onMesh), {}, [rowsOf('x', 1, 2, 3, 4)]);
  });

  test('when the cascade is not accurate enough, which the mesh then says', async () => {
    const refused = new MeshError('MESH_NO_FEASIBLE_PLACEMENT', 'Accuracy 0.95 is below the minimum');
    const page = await pageWith({ onRequest: () => Promise.reject(refused) });
    await expect(infer(page, { min_accuracy: 0.99 })).rejects.toBe(refused);
    expect(page.workers.runs).toEqual([]);
  });
});

describe('a cascade whose input may not leave the page', () => {
  const LOCAL = { privacy: 'local_only' } as const;

  test('is answered by the small stage when that is sure', async () => {
    const page = await pageWith({ onRun: () => SURE });
    expect((await infer(page, LOCAL)).placement).toMatchObject({ tier: 'browser', cascadeStage: 'small' });
  });

  test('is answered by the large stage when that is ready too, and costs both', async () => {
    const onRun = (_page: Page, session: string) =>
      session.includes('large') ? [rowsOf('y', 0.8, 0.2)] : UNSURE;
    const page = await pageWith({ onRun }, [{}, LARGE]);
    const { placement, predictions } = await infer(page, LOCAL);
    expect(placement).toMatchObject({ tier: 'browser', variant: CASCADE, cascadeStage: 'large' });
    // Both stages are reported as parts of one decision.
    expect(page.outcomes.map(({ variant, decisionId }) => [variant, decisionId])).toEqual([
      [TINY.variant, placement.decisionId],
      [LARGE.variant, placement.decisionId],
    ]);
    expect(predictions[0]?.label).toBe('even');
    expect(page.outcomes.map(({ variant }) => variant)).toEqual(['tiny-fp32-onnx', 'large-fp32-onnx']);
    const small = await pageWith({ onRun: () => SURE });
    const first = await infer(small, LOCAL);
    expect(placement.costUsd).toBeCloseTo(2 * first.placement.costUsd, 15);
  });

  test('is refused when the small stage is not sure and the large one is not ready', async () => {
    const page = await pageWith({ onRun: () => UNSURE });
    await expect(infer(page, LOCAL)).rejects.toMatchObject({
      code: 'MESH_NO_FEASIBLE_PLACEMENT',
      message: expect.stringContaining('was not sure (0.600, below 0.9)'),
      details: { nearest: { privacy: 'no_pool' } },
    });
  });

  test.each<[string, string, Parameters, Tensor[] | undefined, readonly Partial<VariantSpec>[]]>([
    ['nothing fit is ready', 'not ready', {}, undefined, [LARGE]],
    ['there is more than one input', 'got 2', {}, [rowsOf('x', 1, 2, 3, 4)], [{}]],
    ['it is not accurate enough', '0.95', { min_accuracy: 0.99 }, undefined, [{}]],
    ['a late one is not wanted', 'may not run', { slo_ms: 3, on_infeasible: 'reject' }, undefined, [{}]],
  ])('is refused when %s', async (_name, message, demands, inputs, ready) => {
    const page = await pageWith({}, ready);
    await expect(infer(page, { ...LOCAL, ...demands }, inputs)).rejects.toMatchObject({
      code: 'MESH_NO_FEASIBLE_PLACEMENT',
      message: expect.stringContaining(message),
    });
    expect(page.workers.runs).toEqual([]);
  });

  test('is late rather than not answered', async () => {
    const page = await pageWith({ onRun: () => SURE });
    expect((await infer(page, { ...LOCAL, slo_ms: 3 })).placement.cascadeStage).toBe('small');
  });

  test('never leaves the page, also when the run there fails', async () => {
    const page = await pageWith({
      onRun: () => {
        throw new Error('device lost');
      },
    });
    await expect(infer(page, LOCAL)).rejects.toMatchObject({ code: 'MESH_EXECUTION_FAILED' });
  });

  afterEach(() => {
    for (const page of pages) expect(page.sent).toEqual([]);
  });
});

describe('a request that names no model', () => {
  const ACCURATE = { min_accuracy: 0.94 } as const;
  const ask = (page: Page, demands: Parameters = {}, inputs: Tensor[] = [rowsOf('x', 1, 2)]) =>
    page.infer({ ...ACCURATE, ...demands }, undefined, inputs, task);

  test('is answered by a cascade whose small stage is ready, where that is the cheapest that will do', async () => {
    const page = await pageWith({ onRun: () => SURE });
    const { placement, explanation } = await ask(page, { explain: true });
    expect(placement).toMatchObject({
      tier: 'browser',
      variant: CASCADE,
      accuracy: 0.95,
      cascadeStage: 'small',
    });
    expect(page.sent).toEqual([]);
    expect(explanation?.find(({ verdict }) => verdict === 'chosen')).toMatchObject({
      variant: CASCADE,
      tier: 'browser',
      second: { variant: LARGE.variant, tier: 'edge', rate: 0.2 },
    });
    expect(page.outcomes).toEqual([
      expect.objectContaining({
        variant: 'tiny-fp32-onnx',
        leaseId: 'lease-1',
        decisionId: placement.decisionId,
        cascade: { variant: CASCADE, revision: 1, isEscalated: false },
      }),
    ]);
  });

  test('goes on to the large stage under the same decision', async () => {
    const page = await pageWith({ onRun: () => UNSURE, onRequest: async () => edgeAnswer(BY_LARGE) });
    const { placement } = await ask(page);
    expect(placement).toMatchObject({
      tier: 'edge',
      variant: CASCADE,
      cascadeStage: 'large',
      accuracy: 0.95,
    });
    const [small] = page.outcomes;
    expect(small).toMatchObject({ cascade: { isEscalated: true } });
    expect(page.sent).toEqual([
      { task: LARGE_PATH, parameters: expect.objectContaining({ decision_id: small?.decisionId }) },
    ]);
  });

  test('is answered by the large stage alone once this page has needed that more often than it pays', async () => {
    // The small stage costs 5 here, the large one 10: together they are cheaper while less than half goes on.
    const near = lease({
      prices: { energyPicoUsdPerMs: 0, artifactPicoUsdPerByte: 5 / 3_710_000, expectedReuse: 1 },
      remote: [leasedOption({ variant: LARGE.variant, model: 'large', accuracy: 0.96, costPicoUsd: 10 })],
    });
    const onRequest = async () => edgeAnswer(BY_LARGE);
    const page = await pageWith({ granted: near, onRun: () => UNSURE, onRequest });
    let asked = 0;
    while (asked < 200 && page.sent.at(-1)?.task !== WHOLE_PATH) {
      await ask(page);
      asked += 1;
    }
    expect(page.sent.at(-1)?.task).toBe(WHOLE_PATH);
    expect(asked).toBeGreaterThan(10);
    expect(asked).toBeLessThan(100);
  });

  test('is not answered by a cascade of which the lease says that it nearly always goes on', async () => {
    const escalations = [{ variant: CASCADE, revision: 1, rate: 0.999 }];
    const page = await pageWith({
      granted: { ...granted, escalations },
      onRequest: async () => edgeAnswer(BY_LARGE),
    });
    await ask(page);
    expect(page.workers.runs).toEqual([]);
    expect(page.sent).toHaveLength(1);
  });

  test('is left to the mesh where only that has the small stage, and for more than one input', async () => {
    const onMesh = { onRequest: async () => edgeAnswer(BOTH_ON_MESH) };
    const bare = await pageWith(onMesh, []);
    expect((await ask(bare)).placement).toMatchObject({
      variant: CASCADE,
      tier: 'edge',
      cascadeStage: 'large',
    });
    const batch = await pageWith(onMesh);
    await ask(batch, {}, [rowsOf('x', 1, 2, 3, 4)]);
    for (const page of [bare, batch]) {
      expect(page.sent).toEqual([
        { task: WHOLE_PATH, parameters: expect.not.objectContaining({ model: CASCADE }) },
      ]);
      expect(page.workers.runs).toEqual([]);
    }
  });

  test('goes to the mesh when the small stage fails here', async () => {
    const page = await pageWith({
      onRun: () => {
        throw new Error('device lost');
      },
      onRequest: async () => edgeAnswer(BOTH_ON_MESH),
    });
    expect((await ask(page)).placement).toMatchObject({ tier: 'edge', variant: CASCADE });
    expect(page.sent).toEqual([{ task: WHOLE_PATH, parameters: expect.objectContaining(ACCURATE) }]);
    expect(page.outcomes).toEqual([expect.objectContaining({ status: 'failed' })]);
    expect(page.eventsOf('failover')).toHaveLength(1);
  });

  test('gets the small answer when the large stage fails and the small one is accurate enough', async () => {
    const failing = {
      onRun: () => UNSURE,
      onRequest: () => Promise.reject(new MeshError('MESH_NO_CAPACITY', 'full')),
    };
    // Local work is dear and the large stage late by itself, so that who prefers accuracy takes the cascade.
    const slow = lease({
      remote: [leasedOption({ ...LARGE, accuracy: 0.96, compute: { meanMs: 500, varianceMs2: 0 } })],
    });
    const late = { prefer: 'accuracy', slo_ms: 100, slo_target: 0.5 } as const;
    const page = await pageWith({ ...failing, granted: slow });
    const { placement } = await page.infer(late, undefined, [rowsOf('x', 1, 2)], task);
    expect(placement).toMatchObject({
      tier: 'browser',
      variant: CASCADE,
      cascadeStage: 'small',
      accuracy: 0.9,
    });
    const strict = await pageWith(failing);
    await expect(ask(strict)).rejects.toMatchObject({ code: 'MESH_NO_CAPACITY' });
  });

  test('with an input that may not leave is answered by a cascade of which both stages are ready', async () => {
    const onRun = (_page: Page, session: string) =>
      session.includes('large') ? [rowsOf('y', 0.8, 0.2)] : UNSURE;
    const page = await pageWith({ onRun });
    await page.ready(50, LARGE);
    const { placement } = await ask(page, { privacy: 'local_only' });
    expect(placement).toMatchObject({ tier: 'browser', variant: CASCADE, cascadeStage: 'large' });
    const small = await pageWith({});
    await expect(ask(small, { privacy: 'local_only' })).rejects.toMatchObject({
      code: 'MESH_NO_FEASIBLE_PLACEMENT',
    });
    for (const { sent } of [page, small]) expect(sent).toEqual([]);
  });

  test('of a hidden page leaves both stages to the mesh', async () => {
    vi.stubGlobal('document', { visibilityState: 'hidden', hidden: true });
    const page = await pageWith({ onRequest: async () => edgeAnswer(BOTH_ON_MESH) });
    await ask(page);
    expect(page.workers.runs).toEqual([]);
  });
});
