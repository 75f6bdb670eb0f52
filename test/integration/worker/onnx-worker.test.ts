import { monitorEventLoopDelay } from 'node:perf_hooks';
import { float32Values, type Tensor } from '@nearfar/protocol';
import { systemClock } from '@nearfar/worker';
import { describe, expect, test } from 'vitest';
import { connectedCpuWorker, loaded } from '../../support/worker/connected-worker.ts';
import { digitsInputs, digitsVariant } from '../../support/worker/digits.ts';
import { sourceOf, type TestVariant } from '../../support/worker/model-variant.ts';

/** How long the event loop is watched, idle and busy: enough turns that one in a hundred is not a single one. */
const LOOP_MEASURED_MS = 1_000;

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

function fail(): never {
  throw new Error('Expected something to be there');
}

describe('a worker with real onnxruntime threads', () => {
  test('gives in a batch what each request gives alone', async () => {
    const tiny = await digitsVariant('tiny');
    const { worker, link } = await connectedCpuWorker(tiny);
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
    const { worker, link } = await connectedCpuWorker(large);
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
    const { worker, link } = await connectedCpuWorker(tiny);
    const replica = await loaded(link, tiny);
    expect(replica.loadMs).toBeGreaterThan(0);
    expect(replica.memoryBytes).toBeGreaterThan(0);
    const reports = link.of('profile-report').flatMap((message) => message.reports);
    expect(reports.map((report) => report.batch)).toEqual([1, 2, 4, 8, 16]);
    expect(reports.every((report) => report.deviceClass === worker.device.deviceClass)).toBe(true);
    const [{ loadMs, downloadMs, compileMs, firstRunMs, ...report } = fail()] = reports;
    expect([downloadMs, compileMs, firstRunMs].every((partMs) => partMs !== undefined && partMs > 0)).toBe(
      true,
    );
    expect(loadMs).toBeCloseTo((downloadMs ?? 0) + (compileMs ?? 0) + (firstRunMs ?? 0), 6);
    expect(report).toMatchObject({ modelBytes: tiny.spec.artifacts[0]?.sizeBytes, runtimeBytes: 0 });
    expect(report.memoryBytes).toBeGreaterThanOrEqual(report.modelBytes ?? 0);
    expect(report.peakMemoryBytes).toBeGreaterThanOrEqual(report.memoryBytes ?? 0);
    await worker.close();
  });

  test('refuses an artifact whose bytes have another hash', async () => {
    const tiny = await digitsVariant('tiny');
    const artifacts = sourceOf(tiny, { 'tiny.onnx': new Uint8Array(10) });
    const { worker, link } = await connectedCpuWorker(tiny, { artifacts });
    const replica = await loaded(link, tiny);
    expect(replica.state).toBe('failed');
    expect(replica.reason).toContain('MESH_ARTIFACT_CORRUPT');
    await worker.close();
  });

  test('does not serve a variant that gives other numbers than the known ones', async () => {
    const tiny = await digitsVariant('tiny');
    const small = await digitsVariant('small');
    // The weights of one model under the name, and so with the golden outputs, of another.
    const mixed: TestVariant = {
      spec: { ...tiny.spec, artifacts: small.spec.artifacts },
      files: new Map([...tiny.files, ...small.files]),
    };
    const { worker, link } = await connectedCpuWorker(mixed);
    const replica = await loaded(link, mixed);
    expect(replica.state).toBe('failed');
    expect(replica.reason).toMatch(/MESH_VARIANT_FAILED: Self-test: output "logits" differs by/);
    await worker.close();
  });

  test('on this machine, auto finds a device and says how each attempt went', async () => {
    const tiny = await digitsVariant('tiny');
    const { worker } = await connectedCpuWorker(tiny, { device: 'auto' });
    expect(worker.findings.length).toBeGreaterThan(0);
    expect(worker.findings.at(-1)).toContain(`${worker.device.kind}: ran the probe in`);
    await worker.close();
  });
});
