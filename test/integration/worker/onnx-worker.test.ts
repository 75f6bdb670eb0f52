import { monitorEventLoopDelay } from 'node:perf_hooks';
import { float32Values, type Tensor } from '@nearfar/protocol';
import { createWorker, EngineThread, systemClock, type WorkerOptions } from '@nearfar/worker';
import { describe, expect, test } from 'vitest';
import { type DigitsVariant, digitsInputs, digitsVariant, sourceOf } from '../../support/worker/digits.ts';
import { RecordingLink } from '../../support/worker/recording-link.ts';

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
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    for (let request = 0; request < 64; request++) {
      const input = inputs[request % inputs.length];
      if (input !== undefined)
        link.execute({ requestId: `r${request}`, variant: large.spec.variant }, [input]);
    }
    await link.until(() => (link.of('execute-result').length === 64 ? true : undefined));
    delay.disable();
    expect(delay.percentile(99) / 1e6).toBeLessThan(20);
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
    const { spec, files } = await digitsVariant('tiny');
    const bytes = files.get(spec.artifacts[0]?.sha256 ?? '') ?? new Uint8Array();
    const model = new SharedArrayBuffer(bytes.byteLength);
    new Uint8Array(model).set(bytes);
    const engine = new EngineThread({
      provider: 'cpu',
      threadsPerSession: 1,
      loadTimeoutMs: 20_000,
      runTimeoutMs: 400,
    });
    await engine.load('tiny', model);
    const input = (rows: number) => [
      {
        name: 'image',
        datatype: 'FP32',
        shape: [rows, 1, 28, 28],
        data: new Uint8Array(rows * 784 * 4),
      } as const,
    ];
    await expect(engine.run('tiny', input(50_000))).rejects.toMatchObject({ code: 'MESH_EXECUTION_FAILED' });
    // The new thread loads the session first; on a busy machine that may take longer than one run is given.
    const again = await engine.run('tiny', input(1)).catch(() => engine.run('tiny', input(1)));
    expect(again.tensors[0]?.shape).toEqual([1, 10]);
    await engine.close();
  });

  test('fails a call on a session that it does not have', async () => {
    const engine = new EngineThread({ provider: 'cpu', threadsPerSession: 1 });
    await expect(engine.run('none', [])).rejects.toThrow('No session "none" is loaded');
    await engine.close();
  });
});
