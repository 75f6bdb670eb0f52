import { createHash } from 'node:crypto';
import { type Artifact, float32Tensor, type Tensor, type VariantSpec } from '@nearfar/protocol';
import { type ArtifactSource, MeshWorker } from '@nearfar/worker';
import { FakeEngine } from '../../support/worker/fake-engine.ts';
import { ManualClock } from '../../support/worker/manual-clock.ts';
import { RecordingLink } from '../../support/worker/recording-link.ts';

/** The bytes of the one artifact of `variantSpec`. */
export const MODEL = new Uint8Array([1, 2, 3]);

/** What identifies a file of these bytes. */
export function artifactOf(path: string, bytes: Uint8Array): Artifact {
  return { path, sha256: createHash('sha256').update(bytes).digest('hex'), sizeBytes: bytes.byteLength };
}

/** A variant whose output is its input. */
export function variantSpec(overrides: Partial<VariantSpec> = {}): VariantSpec {
  return {
    task: 'digits',
    variant: 'copy',
    revision: 1,
    model: 'copy',
    precision: 'fp32',
    format: 'onnx',
    origin: 'supplied',
    accuracy: { value: 0.9, source: 'declared', sampleSize: 0 },
    inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }],
    outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 2] }],
    artifacts: [artifactOf('copy.onnx', MODEL)],
    tolerance: 1e-3,
    isBatchable: true,
    ...overrides,
  };
}

/** Rows of two values each, as the input of `variantSpec`. */
export function rows(...values: number[]): Tensor[] {
  return [float32Tensor('x', [values.length / 2, 2], new Float32Array(values))];
}

export interface ConnectedOptions {
  readonly queueCapacity?: number;
  readonly maxBatchWaitMs?: number;
  readonly artifacts?: ArtifactSource;
  readonly link?: RecordingLink;
}

/** A welcome worker with one slot and batches of at most 4, that was not asked to load anything yet. */
export function connectedWorker(options: ConnectedOptions = {}) {
  const { queueCapacity = 8, artifacts = { fetch: () => Promise.resolve(MODEL) } } = options;
  const { link = new RecordingLink(), maxBatchWaitMs } = options;
  const clock = new ManualClock();
  const engine = new FakeEngine();
  const worker = new MeshWorker(
    {
      workerId: 'worker',
      tier: 'edge',
      queueCapacity,
      maxBatch: 4,
      ...(maxBatchWaitMs !== undefined && { maxBatchWaitMs }),
      artifacts,
      clock,
      log: () => undefined,
    },
    {
      device: { kind: 'cpu', deviceClass: 'cpu:test:1t', description: 'test' },
      findings: [],
      engines: [engine],
    },
  );
  worker.connect(link);
  link.welcome();
  return { clock, engine, worker, link };
}
