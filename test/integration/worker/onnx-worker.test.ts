import { monitorEventLoopDelay } from 'node:perf_hooks';
import { float32Values, type Tensor } from '@nearfar/protocol';
import {
  createWorker,
  EngineThread,
  systemClock,
  type ThreadTensor,
  type WorkerOptions,
} from '@nearfar/worker';
import { describe, expect, test, vi } from 'vitest';
import { type DigitsVariant, digitsInputs, digitsVariant, sourceOf } from '../../support/worker/digits.ts';
import { RecordingLink } from '../../support/worker/recording-link.ts';

/** How long the event loop is watched, idle and busy: enough turns that one in a hundred is not a single one. */
const LOOP_MEASURED_MS = 1_000;

async function connectedWorker(variant: DigitsVariant, options: Partial<WorkerOptions> = {}) {
  const worker = await createWorker({
    workerId: 'worker',
    tier: 'edge',
    device: 'cpu',
    slots: 1,
    artifacts: sourceOf(variant),
    clock: systemClock,
    log: () => undefined,
    ...options,
  });
  const link = new RecordingLink();
  worker.connect(link);
  link.welcome();
  return { worker, link };
}

/** Loads a variant and gives its final state. */
function loaded(link: RecordingLink, { spec }: DigitsVariant) {
  link.deliver({ type: 'variant-load', spec });
  return link.until(() =>
    link
      .of('load-report')
      .flatMap(({ replicas }) => replicas)
      .find(({ state }) => state !== 'loading'),
  );
}

function logits(tensors: readonly Tensor[] = []): number[] {
  return tensors.flatMap((tensor) => [...float32Values(tensor)]);
}

/** 99th percentile of how late turns of this event loop are while `work` is under way, in milliseconds. */
async function loopDelayMs(work: () => Promise<void>): Promise<number> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await work();
  delay.disable();
  return delay.percentile(99) / 1e6;
}

async function largeModel(): Promise<SharedArrayBuffer> {
  const { spec, files } = await digitsVariant('large');
  const bytes = files.get(spec.artifacts[0]?.sha256 ?? '') ?? new Uint8Array();
  const model = new SharedArrayBuffer(bytes.byteLength);
  new Uint8Array(model).set(bytes);
  return model;
}

/** Empty pictures as one input. */
function pictures(rows: number): ThreadTensor[] {
  const shape = [rows, 1, 28, 28];
  return [{ name: 'image', datatype: 'FP32', shape, data: new Uint8Array(rows * 784 * 4) }];
}

describe('a worker with real onnxruntime threads', () => {
  test('gives in a batch what each request gives alone', async () => {
    const tiny = await digitsVariant('tiny');
    const { worker, link } = await connectedWorker(tiny);
    expect(await loaded(link, tiny)).toMatchObject({ state: 'ready' });
    const inputs = await digitsInputs();
    const { variant } = tiny.spec;
    const answered = (requestId: string) => link.until(() => link.answer(requestId));
    for (const [index, input] of inputs.entries()) {
      link.execute({ requestId: `alone-${index}`, variant }, [input]);
      await answered(`alone-${index}`);
    }
    for (const [index, input] of inputs.entries()) {
      link.execute({ requestId: `together-${index}`, variant }, [input]);
    }
    let largestBatch = 0;
    for (const index of inputs.keys()) {
      const together = await answered(`together-${index}`);
      const alone = logits((await answered(`alone-${index}`)).tensors);
      if (together.message.type === 'execute-result') {
        largestBatch = Math.max(largestBatch, together.message.batchSize);
      }
      const found = logits(together.tensors);
      expect(found).toHaveLength(10);
      for (const [label, value] of found.entries()) expect(value).toBeCloseTo(alone[label] ?? Number.NaN, 5);
    }
    expect(largestBatch).toBeGreaterThan(1);
    await worker.close();
  });

  test('keeps the event loop free while it infers', async () => {
    const large = await digitsVariant('large');
    const { worker, link } = await connectedWorker(large);
    await loaded(link, large);
    const inputs = await digitsInputs();
    const idleMs = await loopDelayMs(() => systemClock.sleep(LOOP_MEASURED_MS));
    let requests = 0;
    const busyMs = await loopDelayMs(async () => {
      const endsAt = performance.now() + LOOP_MEASURED_MS;
      while (performance.now() < endsAt) {
        for (const input of inputs.flatMap((image) => new Array(8).fill(image))) {
          link.execute({ requestId: `r${requests++}`, variant: large.spec.variant }, [input]);
        }
        await link.until(() => (link.of('execute-result').length === requests ? true : undefined));
      }
    });
    expect(requests).toBeGreaterThan(0);
    // Where the loop is late while nothing infers, it is the machine that is late: only what is added counts.
    expect(busyMs).toBeLessThan(idleMs <= 10 ? 20 : idleMs + 20);
    await worker.close();
  });

  test('measures its variants and what they need', async () => {
    const tiny = await digitsVariant('tiny');
    const { worker, link } = await connectedWorker(tiny);
    const replica = await loaded(link, tiny);
    expect(replica.loadMs).toBeGreaterThan(0);
    expect(replica.memoryBytes).toBeGreaterThan(0);
    const reports = link.of('profile-report').flatMap((message) => message.reports);
    expect(reports.map((report) => report.batch)).toEqual([1, 2, 4, 8, 16]);
    expect(reports.every((report) => report.deviceClass === worker.device.deviceClass)).toBe(true);
    await worker.close();
  });

  test('refuses an artifact whose bytes have another hash', async () => {
    const tiny = await digitsVariant('tiny');
    const artifacts = sourceOf(tiny, { 'tiny.onnx': new Uint8Array(10) });
    const { worker, link } = await connectedWorker(tiny, { artifacts });
    const replica = await loaded(link, tiny);
    expect(replica.state).toBe('failed');
    expect(replica.reason).toContain('MESH_ARTIFACT_CORRUPT');
    await worker.close();
  });

  test('does not serve a variant that gives other numbers than the known ones', async () => {
    const tiny = await digitsVariant('tiny');
    const small = await digitsVariant('small');
    // The weights of one model under the name, and so with the golden outputs, of another.
    const mixed: DigitsVariant = {
      spec: { ...tiny.spec, artifacts: small.spec.artifacts },
      files: new Map([...tiny.files, ...small.files]),
    };
    const { worker, link } = await connectedWorker(mixed);
    const replica = await loaded(link, mixed);
    expect(replica.state).toBe('failed');
    expect(replica.reason).toMatch(/MESH_VARIANT_FAILED: Self-test: output "logits" differs by/);
    await worker.close();
  });

  test('on this machine, auto finds a device and says how each attempt went', async () => {
    const tiny = await digitsVariant('tiny');
    const { worker } = await connectedWorker(tiny, { device: 'auto' });
    expect(worker.findings.length).toBeGreaterThan(0);
    expect(worker.findings.at(-1)).toContain(`${worker.device.kind}: ran the probe in`);
    await worker.close();
  });
});

describe('an engine thread', () => {
  test('is replaced, with its sessions, when a call takes too long', async () => {
    const engine = new EngineThread({ provider: 'cpu', threadsPerSession: 1, runTimeoutMs: 500 });
    await engine.load('large', await largeModel());
    // Seconds of work.
    await expect(engine.run('large', pictures(4_000))).rejects.toMatchObject({
      code: 'MESH_EXECUTION_FAILED',
      message: expect.stringContaining('"run" took longer than 500 ms'),
    });
    // Starting a thread and loading its sessions may take longer than a run is given; a probe has more time.
    await engine.probe('cpu');
    const again = await engine.run('large', pictures(1));
    expect(again.tensors[0]?.shape).toEqual([1, 10]);
    await engine.close();
  });

  test('is not replaced while two threads that were given up still compute, and is once they have ended', async () => {
    // No run can start a thread within this time, let alone be done.
    const engine = new EngineThread({ provider: 'cpu', threadsPerSession: 1, runTimeoutMs: 1 });
    await engine.load('large', await largeModel());
    const run = () => engine.run('large', pictures(1_000));
    await expect(run()).rejects.toThrow('took longer than 1 ms');
    await expect(run()).rejects.toThrow('took longer than 1 ms');
    await expect(run()).rejects.toMatchObject({
      code: 'MESH_EXECUTION_FAILED',
      message: expect.stringContaining('got 2 threads that still compute'),
    });
    const probe = () => engine.probe('cpu');
    const { runMs } = await vi.waitFor(probe, { timeout: 30_000, interval: 50 });
    expect(runMs).toBeGreaterThan(0);
    await engine.close();
  });

  test('fails a call on a session that it does not have', async () => {
    const engine = new EngineThread({ provider: 'cpu', threadsPerSession: 1 });
    await expect(engine.run('none', [])).rejects.toThrow('No session "none" is loaded');
    await engine.close();
  });
});
