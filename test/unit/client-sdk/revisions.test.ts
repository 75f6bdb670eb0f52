import { float32Values, MeshError, type TaskInfo } from '@nearfar/protocol';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createMesh } from '../../../client-sdk/src/mesh.ts';
import type { Mesh } from '../../../client-sdk/src/types.ts';
import { lease, leasedOption, rowsOf } from './builders.ts';
import { ChangingMesh, FILE, revisionOf } from './changing-mesh.ts';
import { AnsweringWorkers } from './fake-worker.ts';

const OLD = revisionOf(1);
/** Its pictures are made in another way, and its labels are the other way round. */
const CHANGED = revisionOf(2, { labels: ['odd', 'even'], mean: 0.25, variantRevision: 2 });
/** Other weights alone. */
const RETRAINED = revisionOf(2, { variantRevision: 2 });
const canary = (revision: number): Partial<TaskInfo> => ({
  rollout: { mode: 'canary', share: 0.5, revision, state: 'serving' },
});

let far: ChangingMesh;
let mesh: Mesh;
let workers: AnsweringWorkers;

const picture = () => new Blob([FILE]);
const best = async (input: Blob = picture(), options = {}) =>
  (await mesh.infer('digits', input, options)).predictions[0]?.label;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  vi.stubGlobal('ImageBitmap', class {});
  far = new ChangingMesh();
  vi.stubGlobal('fetch', far.fetch);
  workers = new AnsweringWorkers((call) => {
    if (call.kind === 'picture') return [rowsOf('x', call.rule.mean[0] ?? 0, call.rule.mean[0] ?? 0)];
    return call.kind === 'run' ? [rowsOf('y', 1, 3)] : [];
  });
  mesh = createMesh({ endpoint: 'http://mesh.test', engines: ['ort-wasm'], createWorker: workers.create });
});

afterEach(async () => {
  await mesh.close();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('an answer of a revision that the page does not know', () => {
  test('is read with the new info when the interface is the same', async () => {
    expect(await best()).toBe('even');
    far.active = RETRAINED;
    expect(await best()).toBe('even');
    expect(await best()).toBe('even');
    expect(far.received).toHaveLength(3);
    expect(far.reads).toBe(2);
  });

  test('is thrown away when the interface is another, and the request made anew for that one', async () => {
    await best();
    far.active = CHANGED;
    expect(await best()).toBe('odd');
    expect(far.received).toEqual([
      [0.5, 0.5],
      [0.5, 0.5],
      [0.25, 0.25],
    ]);
    expect(await best()).toBe('odd');
    expect(far.received.at(-1)).toEqual([0.25, 0.25]);
    expect(far.reads).toBe(2);
  });

  test.each([
    ['labels', revisionOf(2, { labels: ['odd', 'even'] })],
    ['preprocessing', revisionOf(2, { mean: 0.25 })],
    [
      'postprocessing',
      revisionOf(2, { postprocess: { kind: 'classification', output: 'y', activation: 'softmax' } }),
    ],
    [
      'outputs',
      {
        ...OLD,
        revision: 2,
        variants: OLD.variants.map((spec) => ({ ...spec, outputs: [...spec.outputs, ...spec.inputs] })),
      },
    ],
  ])('is asked for again when the %s changed', async (_, active) => {
    await best();
    far.active = active;
    await best();
    expect(far.received).toHaveLength(3);
  });

  test('leads to one look for all requests under way', async () => {
    await best();
    far.active = CHANGED;
    const gate = Promise.withResolvers<void>();
    far.gate = gate.promise;
    const answers = Promise.all([best(), best(), best()]);
    await vi.waitFor(() => expect(far.received).toHaveLength(4));
    gate.resolve();
    expect(await answers).toEqual(['odd', 'odd', 'odd']);
    expect(far.reads).toBe(2);
  });

  test('is not read by a look that was begun before it came', async () => {
    await best();
    far.active = revisionOf(1, canary(2));
    const gate = Promise.withResolvers<void>();
    far.gate = gate.promise;
    const early = mesh.infer('other', rowsOf('x', 1, 2)).catch((error: MeshError) => error.code);
    await vi.waitFor(() => expect(far.reads).toBe(2));
    far.active = CHANGED;
    far.gate = Promise.resolve();
    expect(await best()).toBe('odd');
    gate.resolve();
    expect(await early).toBe('MESH_UNKNOWN_TASK');
    // What came late has not replaced what is newer.
    expect(await best()).toBe('odd');
    expect(far.reads).toBe(3);
  });

  test('that changes once more with the second answer ends in an error that a retry may mend', async () => {
    await best();
    far.onInfer = () => {
      const revision = far.active.revision + 1;
      far.active = revisionOf(revision, { mean: 1 / (revision + 2) });
    };
    await expect(best()).rejects.toMatchObject({ code: 'MESH_VARIANT_NOT_READY', retryable: true });
    expect(far.received).toHaveLength(3);
  });

  test('is made anew within the time limit of the call', async () => {
    await best();
    far.active = CHANGED;
    far.gate = new Promise(() => undefined);
    const late = expect(best(picture(), { timeoutMs: 100 })).rejects.toMatchObject({
      code: 'MESH_DEADLINE_EXCEEDED',
    });
    await vi.waitFor(() => expect(far.reads).toBe(2));
    await vi.advanceTimersByTimeAsync(100);
    await late;
  });
});

describe('inputs that the mesh refuses', () => {
  const refuse = () => {
    if (far.received.at(-1)?.[0] === 0.5)
      throw new MeshError('MESH_BAD_TENSOR', 'Expected "x" to be another');
  };

  test('are made anew when the task has another revision', async () => {
    await best();
    far.active = CHANGED;
    far.onInfer = refuse;
    expect(await best()).toBe('odd');
    expect(far.received).toHaveLength(3);
  });

  test('stay refused when it has not', async () => {
    far.onInfer = refuse;
    await expect(best()).rejects.toMatchObject({ code: 'MESH_BAD_TENSOR' });
    expect(far.received).toHaveLength(1);
  });
});

describe('a canary', () => {
  beforeEach(async () => {
    far.active = revisionOf(1, canary(2));
    await best();
    far.answering = 2;
  });

  test('is read as the active revision, after one look', async () => {
    for (let request = 0; request < 3; request += 1) expect(await best()).toBe('even');
    expect(far.received).toHaveLength(4);
    expect(far.reads).toBe(2);
  });

  test('is looked at again after a minute, since it may have become the active one', async () => {
    await best();
    far.active = RETRAINED;
    await best();
    expect(far.reads).toBe(2);
    vi.advanceTimersByTime(60_000);
    await best();
    await best();
    expect(far.reads).toBe(3);
  });

  test('that nobody knows any more is not trusted: the request is made anew', async () => {
    far.active = OLD;
    far.onInfer = () => {
      if (far.received.length > 2) far.answering = 1;
    };
    expect(await best()).toBe('even');
    expect(far.received).toHaveLength(3);
  });
});

describe("a page's own variants", () => {
  const toMesh = { minAccuracy: 0.95 };
  /** What the latest run in the page took. */
  const ranOn = () => {
    const run = workers.calls.findLast((call) => call.kind === 'run');
    return run?.kind === 'run' ? run.tensors.flatMap((tensor) => [...float32Values(tensor)]) : undefined;
  };

  beforeEach(async () => {
    const large = leasedOption({ variant: 'large-fp32-onnx', model: 'large', accuracy: 0.97 });
    far.granted = lease({ remote: [leasedOption(), large] });
    await mesh.prepare('digits');
  });

  test('of a former revision answer until the page learns of the next, and are let go then', async () => {
    far.active = CHANGED;
    const before = await mesh.infer('digits', picture());
    expect(before.placement.tier).toBe('browser');
    expect(before.predictions[0]?.label).toBe('odd');
    await best(picture(), toMesh);
    expect(mesh.status().ready).toEqual([]);
    expect((await mesh.infer('digits', picture())).placement.tier).toBe('edge');
    expect(workers.calls).toContainEqual({ kind: 'unload', session: 'digits/tiny-fp32-onnx@1' });
    await mesh.prepare('digits');
    const after = await mesh.infer('digits', picture());
    expect(after.placement.tier).toBe('browser');
    // The engine's second score is the highest, and that is what the new labels call even.
    expect(after.predictions[0]?.label).toBe('even');
    expect(workers.runs.at(-1)).toBe('digits/tiny-fp32-onnx@2');
  });

  test('stay when the next revision has them too', async () => {
    far.active = revisionOf(2, { labels: ['odd', 'even'] });
    await best(picture(), toMesh);
    const answer = await mesh.infer('digits', picture());
    expect(answer.placement.tier).toBe('browser');
    expect(answer.predictions[0]?.label).toBe('even');
    expect(workers.runs.at(-1)).toBe('digits/tiny-fp32-onnx@1');
  });

  test('of the next revision never run inputs that were made for the former one', async () => {
    const gate = Promise.withResolvers<void>();
    far.leaseGate = gate.promise;
    vi.advanceTimersByTime(10_000);
    // Its inputs are there when it waits for a lease; meanwhile the page learns of the next revision.
    const local = mesh.infer('digits', picture(), { privacy: 'local_only' });
    await vi.waitFor(() => expect(far.leases).toBe(2));
    far.active = CHANGED;
    const preparing = mesh.prepare('digits');
    await vi.waitFor(() => expect(far.reads).toBe(2));
    const runsBefore = workers.runs.length;
    gate.resolve();
    const [answer] = await Promise.all([local, preparing]);
    expect(answer.placement.tier).toBe('browser');
    expect(answer.predictions[0]?.label).toBe('even');
    expect(new Set(workers.runs.slice(runsBefore))).toEqual(new Set(['digits/tiny-fp32-onnx@2']));
    expect(ranOn()).toEqual([0.25, 0.25]);
  });

  test('are prepared anew for a local_only request', async () => {
    far.active = CHANGED;
    await best(picture(), toMesh);
    expect(await best(picture(), { privacy: 'local_only' })).toBe('even');
    expect(workers.runs.at(-1)).toBe('digits/tiny-fp32-onnx@2');
  });
});
