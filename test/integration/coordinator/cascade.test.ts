import { float32Tensor, type Tensor } from '@nearfar/protocol';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FakeWorker } from '../../support/coordinator/fake-worker.ts';
import { cascadeTask, SAMPLE_CASCADE } from '../../support/coordinator/sample-task.ts';
import { SAMPLE_INPUT, TestMesh } from '../../support/coordinator/test-mesh.ts';

const PATH = `/v2/models/sample/versions/${SAMPLE_CASCADE}/infer`;
const SURE = [0, 0, 9];
const UNSURE = [0, 0, 0.1];
const LARGE = [9, 0, 0];

let mesh: TestMesh;
let worker: FakeWorker;

/** A mesh whose one worker takes 2 ms for the small stage and `largeMs` for the large one. */
async function start(largeMs: number): Promise<void> {
  mesh = await TestMesh.start();
  await mesh.coordinator.register(cascadeTask());
  worker = await mesh.dial('w');
  await expect.poll(() => worker.held.size).toBe(2);
  worker.profile(({ variant }) => (variant.startsWith('large') ? largeMs : 2));
  worker.report();
  await expect.poll(() => mesh.coordinator.fleet.find('w')?.replicas().length).toBe(2);
}

beforeEach(() => start(20));
afterEach(() => mesh.close());

/** Answers by the first number of each input: above 0 the small stage is sure of it. */
function answerBySure(request: Readonly<Record<string, unknown>>, tensors: readonly Tensor[]): void {
  const isLarge = request.variant === 'large-fp32-onnx';
  const [input] = tensors;
  const values = new Float32Array(new Uint8Array(input?.data ?? []).buffer);
  const rows = input?.shape[0] ?? 0;
  const scores = Array.from({ length: rows }, (_, row) =>
    isLarge ? LARGE : (values[row * 4] ?? 0) > 0 ? SURE : UNSURE,
  );
  worker.answerRows(request, scores);
}

function input(...sure: number[]) {
  return { ...SAMPLE_INPUT, shape: [sure.length, 1, 2, 2], data: sure.flatMap((first) => [first, 0, 0, 0]) };
}

interface Explained {
  readonly candidates: readonly { readonly variant: string; readonly verdict: string }[];
}

function chosenOf(candidates: Explained['candidates']): string[] {
  return candidates.filter(({ verdict }) => verdict === 'chosen').map(({ variant }) => variant);
}

const executed = () =>
  worker.received.filter(({ type }) => type === 'execute-request').map(({ variant }) => variant);

describe('a pinned cascade', () => {
  test('is answered by its small stage where that is sure', async () => {
    worker.onExecute = answerBySure;
    const { status, parameters, outputs, model_version } = await mesh.infer({}, PATH, [input(1)]);
    expect([status, model_version, outputs?.[0]?.data]).toEqual([200, SAMPLE_CASCADE, SURE]);
    expect(parameters).toMatchObject({
      variant: SAMPLE_CASCADE,
      cascade_stage: 'small',
      accuracy: 0.95,
      compute_ms: 2,
    });
    // 2 ms, and 20 ms for the 40 % that go on, besides a millisecond of link for each.
    expect(Number(parameters?.predicted_ms)).toBeGreaterThan(2 + 0.4 * 20);
    expect(executed()).toEqual(['tiny-fp32-onnx']);
  });

  test('asks its large stage about what the small one is not sure of, and costs both', async () => {
    worker.onExecute = answerBySure;
    const small = await mesh.infer({}, PATH, [input(1)]);
    const both = await mesh.infer({ explain: true }, PATH, [input(0)]);
    expect(both.outputs?.[0]?.data).toEqual(LARGE);
    expect(both.parameters).toMatchObject({ variant: SAMPLE_CASCADE, cascade_stage: 'large', compute_ms: 4 });
    expect(Number(both.parameters?.cost_usd)).toBeCloseTo(2 * Number(small.parameters?.cost_usd), 12);
    const [, decision] = await mesh.json(`/v1/decisions/${both.parameters?.decision_id}`);
    expect(decision).toMatchObject({
      spec: { variant: SAMPLE_CASCADE },
      attempts: [{ variant: 'tiny-fp32-onnx' }, { variant: 'large-fp32-onnx' }],
      outcome: { status: 'ok', computeMs: 4 },
    });
    const { candidates } = decision as Explained;
    expect(chosenOf(candidates)).toEqual([SAMPLE_CASCADE, 'tiny-fp32-onnx', 'large-fp32-onnx']);
    expect(candidates.find(({ variant }) => variant === SAMPLE_CASCADE)).toMatchObject({
      second: { variant: 'large-fp32-onnx', worker: 'w', parts: { compute: { meanMs: expect.any(Number) } } },
    });
  });

  test('sends on only those rows of a batch that need it', async () => {
    worker.onExecute = answerBySure;
    const { outputs, parameters } = await mesh.infer({}, PATH, [input(1, 0, 1, 0)]);
    expect(outputs?.[0]?.data).toEqual([...SURE, ...LARGE, ...SURE, ...LARGE]);
    expect(parameters).toMatchObject({ cascade_stage: 'large' });
    expect(executed()).toEqual(['tiny-fp32-onnx', 'large-fp32-onnx']);
  });

  test('answers only what the task names: other outputs of its stages do not go together', async () => {
    worker.onExecute = (request, tensors) => {
      const rows = tensors[0]?.shape[0] ?? 1;
      const width = request.variant === 'large-fp32-onnx' ? 5 : 2;
      const scores = Float32Array.from({ length: rows * 3 }, (_, index) => (index % 6 === 2 ? 9 : 0));
      worker.send(
        {
          type: 'execute-result',
          requestId: request.requestId,
          queueMs: 0,
          batchWaitMs: 0,
          computeMs: 2,
          batchSize: rows,
          load: { backlogMs: 0, waiting: 0, running: 0, lastSequence: 0 },
        },
        [
          float32Tensor('logits', [rows, 3], scores),
          float32Tensor('features', [rows, width], new Float32Array(rows * width)),
        ],
      );
    };
    const { status, parameters, outputs } = await mesh.infer({}, PATH, [input(1, 0)]);
    expect([status, parameters?.cascade_stage]).toEqual([200, 'large']);
    expect(outputs?.map(({ name }) => name)).toEqual(['logits']);
  });

  test('is found by its name as a model, and by nobody who asks for something else', async () => {
    worker.onExecute = answerBySure;
    const named = await mesh.infer({ model: SAMPLE_CASCADE }, undefined, [input(1)]);
    expect(named.parameters).toMatchObject({ variant: SAMPLE_CASCADE });
    const any = await mesh.infer({}, undefined, [input(1)]);
    expect(any.parameters).toMatchObject({ variant: 'tiny-fp32-onnx' });
    const accurate = await mesh.infer({ prefer: 'accuracy' }, undefined, [input(1)]);
    expect(accurate.parameters).toMatchObject({ variant: 'large-fp32-onnx' });
  });

  test('is refused with what would do, when it is not accurate enough or both stages cost too much', async () => {
    const dim = await mesh.infer({ min_accuracy: 0.955 }, PATH);
    expect(dim).toMatchObject({
      status: 422,
      code: 'MESH_NO_FEASIBLE_PLACEMENT',
      details: { nearest: { min_accuracy: 0.95 } },
    });
    const dear = await mesh.infer({ max_cost_usd: 1e-9 }, PATH);
    const { nearest, decision_id } = dear.details as {
      nearest: { max_cost_usd: number };
      decision_id: string;
    };
    expect(dear.status).toBe(422);
    worker.onExecute = answerBySure;
    const enough = await mesh.infer({ max_cost_usd: nearest.max_cost_usd }, PATH, [input(0)]);
    expect(enough).toMatchObject({ status: 200, parameters: { cascade_stage: 'large' } });
    const [, decision] = await mesh.json(`/v1/decisions/${decision_id}`);
    expect(decision).toMatchObject({ choice: { kind: 'refused' } });
  });

  test('fails when its large stage does, with the time that is left', async () => {
    worker.onExecute = (request, tensors) => {
      if (request.variant === 'tiny-fp32-onnx') answerBySure(request, tensors);
    };
    const failed = await mesh.infer({ timeout: 100_000 }, PATH, [input(0)]);
    expect(failed).toMatchObject({ status: 504, code: 'MESH_DEADLINE_EXCEEDED' });
    const [, workers] = await mesh.json('/v1/workers');
    expect(workers).toMatchObject({ workers: [{ inFlight: 0 }] });
  });

  test('is ready when both stages are, has the tiers of its small one and is loaded by nobody', async () => {
    const ready = async () => (await mesh.call(`/v2/models/sample/versions/${SAMPLE_CASCADE}/ready`)).status;
    expect(await ready()).toBe(200);
    expect(await mesh.json(`/v2/models/sample/versions/${SAMPLE_CASCADE}`)).toMatchObject([
      200,
      { platform: 'cascade' },
    ]);
    const [, models] = await mesh.json('/v1/models');
    expect(models).toMatchObject({
      models: [{ variants: [{}, {}, { variant: SAMPLE_CASCADE, tiers: ['browser', 'edge', 'pool'] }] }],
    });
    worker.report(({ variant }) => (variant === 'large-fp32-onnx' ? 'failed' : 'ready'));
    await expect.poll(ready).toBe(503);
    const [, index] = await mesh.json('/v2/repository/index', { method: 'POST' });
    expect(index).toEqual([
      { name: 'sample', version: 'tiny-fp32-onnx', state: 'READY' },
      { name: 'sample', version: 'large-fp32-onnx', state: 'UNAVAILABLE' },
      { name: 'sample', version: SAMPLE_CASCADE, state: 'UNAVAILABLE' },
    ]);
  });
});

describe('a request that names no model', () => {
  test('is answered by a cascade where that is the cheapest that is accurate enough', async () => {
    worker.onExecute = answerBySure;
    const sure = await mesh.infer({ min_accuracy: 0.94, explain: true }, undefined, [input(1)]);
    expect(sure.parameters).toMatchObject({
      variant: SAMPLE_CASCADE,
      cascade_stage: 'small',
      accuracy: 0.95,
    });
    const unsure = await mesh.infer({ min_accuracy: 0.94 }, undefined, [input(0)]);
    expect(unsure.outputs?.[0]?.data).toEqual(LARGE);
    expect(unsure.parameters).toMatchObject({
      variant: SAMPLE_CASCADE,
      cascade_stage: 'large',
      accuracy: 0.95,
    });
    const [, decision] = await mesh.json(`/v1/decisions/${unsure.parameters?.decision_id}`);
    expect(decision).toMatchObject({
      spec: { minAccuracy: 0.94 },
      choice: { kind: 'meets-slo', variant: SAMPLE_CASCADE, worker: 'w' },
      attempts: [{ variant: 'tiny-fp32-onnx' }, { variant: 'large-fp32-onnx' }],
      outcome: { status: 'ok' },
    });
  });

  test('is answered by the large stage alone where only that is accurate enough', async () => {
    worker.onExecute = answerBySure;
    const { parameters } = await mesh.infer({ min_accuracy: 0.955 }, undefined, [input(1)]);
    expect(parameters).toMatchObject({ variant: 'large-fp32-onnx' });
    expect(parameters).not.toHaveProperty('cascade_stage');
  });

  test('is not answered by a cascade when it names the model of its large stage', async () => {
    worker.onExecute = answerBySure;
    const { parameters } = await mesh.infer({ model: 'large' }, undefined, [input(1)]);
    expect(parameters).toMatchObject({ variant: 'large-fp32-onnx' });
  });

  test('is answered by the large stage alone when its callers need that nearly always', async () => {
    worker.onExecute = answerBySure;
    const asked = { min_accuracy: 0.94 };
    for (let batch = 0; batch < 3; batch += 1) {
      await mesh.infer({ ...asked, model: SAMPLE_CASCADE }, undefined, [
        input(...Array<number>(200).fill(0)),
      ]);
    }
    const { parameters } = await mesh.infer(asked, undefined, [input(0)]);
    expect(parameters).toMatchObject({ variant: 'large-fp32-onnx' });
  });

  describe('when the large stage fails', () => {
    // The large stage by itself would be late, so that who prefers accuracy takes the cascade.
    const LATE = { slo_ms: 1_000, slo_target: 0.5, prefer: 'accuracy' };

    beforeEach(async () => {
      await mesh.close();
      await start(2_000);
      worker.onExecute = (request, tensors) => {
        if (request.variant === 'large-fp32-onnx') worker.refuse(request, 'MESH_EXECUTION_FAILED');
        else answerBySure(request, tensors);
      };
    });

    test('gets the small answer', async () => {
      const { status, parameters, outputs } = await mesh.infer(LATE, undefined, [input(0)]);
      expect([status, outputs?.[0]?.data]).toEqual([200, UNSURE.map((score) => expect.closeTo(score, 5))]);
      expect(parameters).toMatchObject({ variant: SAMPLE_CASCADE, cascade_stage: 'small', accuracy: 0.9 });
    });

    test('gets an error when it asks for more than the small stage reaches, or for the cascade itself', async () => {
      for (const asked of [{ ...LATE, min_accuracy: 0.94 }, { model: SAMPLE_CASCADE }]) {
        expect(await mesh.infer(asked, undefined, [input(0)])).toMatchObject({ status: 503 });
      }
    });
  });

  test('is decided again without the cascade when its small stage is refused', async () => {
    worker.onExecute = (request, tensors) => {
      if (request.variant === 'tiny-fp32-onnx') worker.refuse(request, 'MESH_VARIANT_NOT_READY');
      else answerBySure(request, tensors);
    };
    const { status, parameters } = await mesh.infer({ min_accuracy: 0.94 }, undefined, [input(1)]);
    expect([status, parameters?.variant]).toEqual([200, 'large-fp32-onnx']);
  });
});
