import { ProfileBook, Sketch, type TaskRecord } from '@nearfar/core';
import { float32Tensor, LINK_PROTOCOL, type VariantSpec, type WorkerHello } from '@nearfar/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { revisionsOf } from '../../../coordinator/src/catalog.ts';
import { FleetWorker } from '../../../coordinator/src/fleet-worker.ts';
import { highestOf, remembering, renumbered } from '../../../coordinator/src/rollout/numbers.ts';
import { isSameAnswer } from '../../../coordinator/src/rollout/same-answer.ts';
import { isSameJson } from '../../../coordinator/src/rollout/same-json.ts';
import { positionOf } from '../../../coordinator/src/rollout/share.ts';
import { Usage } from '../../../coordinator/src/rollout/usage.ts';
import { isWarm } from '../../../coordinator/src/rollout/warm.ts';
import { replaceRows, takeRows } from '../../../coordinator/src/steps/tensor-rows.ts';
import { taskInfo, tiersOf } from '../../../coordinator/src/task-info.ts';
import { changedTask, sampleTask, sampleVariant } from '../../support/coordinator/sample-task.ts';
import { ManualClock } from '../../support/worker/manual-clock.ts';

describe('the share of a rollout', () => {
  test('is always the same for an id, and from 0 to below 1', () => {
    fc.assert(
      fc.property(fc.string(), (id) => {
        const position = positionOf(id);
        expect(position).toBe(positionOf(id));
        expect(position >= 0 && position < 1).toBe(true);
      }),
    );
  });

  test.each([0.01, 0.1, 0.5])('%d of the ids fall below that share', (share) => {
    const count = 20_000;
    const below = Array.from({ length: count }, (_, index) => positionOf(`request-${index}`)).filter(
      (position) => position < share,
    ).length;
    // Four standard deviations of a binomial count.
    const deviation = Math.sqrt(count * share * (1 - share));
    expect(Math.abs(below - count * share)).toBeLessThan(4 * deviation);
  });
});

describe('equality as JSON', () => {
  test('holds across a way through text, and for no other value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (one, other) => {
        const sent = JSON.parse(JSON.stringify(one)) as unknown;
        expect(isSameJson(sent, JSON.parse(JSON.stringify(sent)))).toBe(true);
        const sorted = JSON.stringify([sent, other], sortKeys);
        const isSame = sorted === JSON.stringify([other, sent], sortKeys);
        if (!isSame) expect(isSameJson(sent, other)).toBe(false);
      }),
    );
  });

  test('overlooks the order of keys and keys without a value, and nothing else', () => {
    expect(isSameJson({ a: 1, b: { c: [1, 2] } }, { b: { c: [1, 2] }, a: 1, d: undefined })).toBe(true);
    expect(isSameJson({ a: [1, 2] }, { a: [2, 1] })).toBe(false);
    expect(isSameJson({ a: [] }, { a: {} })).toBe(false);
    expect(isSameJson({ a: null }, {})).toBe(false);
  });
});

describe('numbers', () => {
  test('a variant’s number never stands for two sets of files, whatever is registered, dropped and promoted', () => {
    const step = fc.record({
      files: fc.constantFrom('a', 'b', 'c', 'd'),
      given: fc.integer({ min: 1, max: 4 }),
      fate: fc.constantFrom('drop', 'promote', 'wait'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const filesOf = new Map<string, string>();
        const numbers = new Set<number>();
        let record: TaskRecord = { active: sampleTask({ variants: [] }) };
        for (const { files, given, fate } of steps) {
          const artifacts = [{ path: 'm', sha256: files.repeat(64), sizeBytes: 1 }];
          const task = sampleTask({ variants: [sampleVariant({ revision: given, artifacts })] });
          const former = highestOf(record);
          const next = renumbered(task, revisionsOf(record), former);
          expect(numbers.has(next.revision)).toBe(false);
          numbers.add(next.revision);
          for (const { variant, revision } of next.variants) {
            const known = filesOf.get(`${variant}/${revision}`);
            expect(known ?? files).toBe(files);
            filesOf.set(`${variant}/${revision}`, files);
          }
          record = remembering(
            { ...record, next: { task: next, rollout: { mode: 'now', share: 1 } } },
            former,
          );
          const { next: _, ...rest } = record;
          if (fate === 'drop') record = remembering(rest, highestOf(record));
          if (fate === 'promote') {
            record = remembering({ active: next, previous: record.active }, highestOf(record));
          }
        }
      }),
    );
  });
});

describe('warm', () => {
  const deviceClass = 'cpu:test';
  const book = new ProfileBook();
  const sketch = new Sketch();
  for (let run = 0; run < 50; run += 1) sketch.add(2);
  for (const { task, variant, revision } of sampleTask().variants) {
    const report = { task, variant, revision, deviceClass, batch: 1, epoch: 'e', version: 1 };
    book.absorb({ reporter: 'w', receivedAt: 0, report: { ...report, computeMs: sketch.toData() } });
  }

  const worker = (tier: 'edge' | 'pool', state: 'loading' | 'ready' | 'failed'): FleetWorker => {
    const link = {
      send: () => {},
      close: () => {},
      onMessage: () => {},
      onClose: () => {},
      bufferedBytes: 0,
    };
    const hello: WorkerHello = {
      type: 'worker-hello',
      protocol: LINK_PROTOCOL,
      workerId: tier,
      tier,
      device: { kind: 'cpu', deviceClass, description: '' },
      slots: 1,
      queueCapacity: 1,
      formats: ['onnx'],
    };
    const made = new FleetWorker(hello, link, new ManualClock());
    const { variants } = sampleTask();
    made.assign(variants);
    const load = { backlogMs: 0, waiting: 0, running: 0, lastSequence: 0 };
    const replicas = variants.map(({ task, variant, revision }) => ({ task, variant, revision, state }));
    made.receive({ type: 'load-report', load, replicas }, []);
    return made;
  };

  test.each([
    ['ready', 'ready', true],
    ['loading', 'ready', false],
    ['ready', 'loading', false],
    ['failed', 'ready', true],
    ['failed', 'failed', false],
  ] as const)('%s at the edge, %s in the pool: %s, since callers may keep off a tier', (edge, pool, is) => {
    expect(isWarm(sampleTask(), [worker('edge', edge), worker('pool', pool)], book)).toBe(is);
  });

  test('one worker of a tier is enough, also beside one that still loads', () => {
    expect(isWarm(sampleTask(), [worker('pool', 'ready'), worker('pool', 'loading')], book)).toBe(true);
    expect(isWarm(sampleTask(), [], book)).toBe(false);
  });
});

describe('usage', () => {
  test('tells when the last request of a revision has ended, once', () => {
    const idle: number[] = [];
    const usage = new Usage(({ revision }) => idle.push(revision));
    const first = usage.enter(sampleTask());
    const second = usage.enter(sampleTask());
    const next = usage.enter(sampleTask({ revision: 2 }));
    expect([usage.inFlight('sample'), usage.inFlight('sample', 1), usage.inFlight('other')]).toEqual([
      3, 2, 0,
    ]);
    first();
    first();
    expect(idle).toEqual([]);
    second();
    next();
    expect(idle).toEqual([1, 2]);
    expect(usage.inFlight('sample')).toBe(0);
  });

  test('of a task that was deleted is forgotten, also while its requests end', () => {
    const usage = new Usage(() => {});
    const leave = usage.enter(sampleTask());
    usage.answered('sample', 5);
    usage.forget('sample');
    usage.enter(sampleTask());
    leave();
    expect([usage.inFlight('sample'), usage.lastAnsweredAt('sample')]).toEqual([1, undefined]);
  });
});

describe('two revisions answer alike', () => {
  const answered = (
    values: number[],
    over: { labels?: string[]; tolerance?: number; isTensor?: boolean } = {},
  ) => {
    const { postprocess, labels } = sampleTask();
    return {
      task: {
        labels: over.labels ?? labels,
        ...(over.isTensor !== true && postprocess !== undefined && { postprocess }),
      },
      variant: { tolerance: over.tolerance ?? 0.001 },
      outputs: [float32Tensor('logits', [values.length / 3, 3], Float32Array.from(values))],
    };
  };

  test('when a classifier puts the same label first, for every row', () => {
    expect(isSameAnswer(answered([1, 2, 3]), answered([-9, 0, 0.1]))).toBe(true);
    expect(isSameAnswer(answered([1, 2, 3, 3, 2, 1]), answered([1, 2, 3, 2, 3, 1]))).toBe(false);
    expect(isSameAnswer(answered([1, 2, 3]), answered([3, 2, 1], { labels: ['c', 'b', 'a'] }))).toBe(true);
  });

  test('when all other outputs are within the wider tolerance', () => {
    const tensor = { isTensor: true };
    const near = answered([1, 2, 3.05], { ...tensor, tolerance: 0.1 });
    expect(isSameAnswer(answered([1, 2, 3], tensor), near)).toBe(true);
    expect(isSameAnswer(answered([1, 2, 3], tensor), { ...near, variant: { tolerance: 0.001 } })).toBe(false);
    expect(isSameAnswer(answered([1, 2, 3], tensor), { ...near, outputs: [] })).toBe(false);
    const nothing = answered([Number.NaN, 2, 3], tensor);
    expect(isSameAnswer(answered([1, 2, 3], tensor), nothing)).toBe(false);
  });
});

describe('rows of tensors', () => {
  test('that are taken and put back give the same tensors', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(7), { maxLength: 8 }), (rows) => {
        const values = Float32Array.from({ length: 16 }, (_, index) => index);
        const tensors = [float32Tensor('a', [8, 2], values)];
        const taken = takeRows(tensors, rows);
        expect(taken[0]?.shape).toEqual([rows.length, 2]);
        expect(replaceRows(tensors, rows, taken)).toEqual(tensors);
        const empty = replaceRows([float32Tensor('a', [8, 2], new Float32Array(16))], rows, taken);
        expect(takeRows(empty, rows)).toEqual(taken);
      }),
    );
  });
});

describe('a task as others see it', () => {
  const cascade = sampleVariant({
    variant: 'tiny-fp32-onnx..large-fp32-onnx.t93',
    format: 'cascade',
    artifacts: [],
    cascade: {
      small: 'tiny-fp32-onnx',
      large: 'large-fp32-onnx',
      threshold: 0.93,
      escalation: { value: 0.3, sampleSize: 100, interval: { low: 0.2, high: 0.4 } },
    },
  });

  test('has the tiers of each variant: a cascade those of its small stage, if it has one', () => {
    const tiers = (variant: VariantSpec, variants: VariantSpec[]) => tiersOf(variant, { variants });
    expect(tiers(sampleVariant({ format: 'tfjs' }), [])).toEqual(['browser', 'edge', 'pool']);
    expect(tiers(cascade, [sampleVariant(), cascade])).toEqual(['browser', 'edge', 'pool']);
    expect(tiers(cascade, [cascade])).toEqual([]);
    const itself = { ...cascade, variant: 'tiny-fp32-onnx' };
    expect(tiers(itself, [itself])).toEqual([]);
  });

  test('has its revision, what was rejected, what comes next and what came before', () => {
    const rejected = [{ variant: 'tiny-int8-onnx', model: 'tiny', reason: 'lost 3 points' }];
    const record = {
      active: sampleTask({ revision: 2, rejected }),
      next: { task: changedTask({ revision: 3 }), rollout: { mode: 'shadow', share: 0.5 } as const },
      previous: sampleTask(),
    };
    expect(taskInfo(record)).toMatchObject({
      revision: 2,
      registeredAt: '2026-11-01T00:00:00.000Z',
      rejected,
      rollout: { mode: 'shadow', share: 0.5, revision: 3, state: 'warming' },
      previousRevision: 1,
    });
    expect(taskInfo({ active: sampleTask({ registeredAt: '' }) })).not.toHaveProperty('registeredAt');
  });
});

function sortKeys(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
