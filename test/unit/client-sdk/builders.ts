import { createHash } from 'node:crypto';
import {
  type Artifact,
  float32Tensor,
  type Lease,
  type LeasedOption,
  type Moments,
  type TaskInfo,
  type Tensor,
  type VariantSpec,
} from '@nearfar/protocol';

/** A clock that stands still until the test moves it. */
export class HandClock {
  ms = 0;
  readonly now = (): number => this.ms;
}

/** A time with the given mean and no spread. */
export function certainly(meanMs: number): Moments {
  return { meanMs, varianceMs2: 0 };
}

/** The description of a file with these bytes. */
export function artifactOf(bytes: Uint8Array, path = 'tiny.onnx'): Artifact {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return { path, sha256, sizeBytes: bytes.byteLength };
}

/** A variant that takes rows of two numbers and gives rows of two. */
export function variantSpec(over: Partial<VariantSpec> = {}): VariantSpec {
  return {
    task: 'digits',
    variant: 'tiny-fp32-onnx',
    revision: 1,
    model: 'tiny',
    precision: 'fp32',
    format: 'onnx',
    origin: 'supplied',
    accuracy: { value: 0.9, source: 'declared', sampleSize: 0 },
    inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }],
    outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 2] }],
    artifacts: [{ path: 'tiny.onnx', sha256: 'a'.repeat(64), sizeBytes: 10_000 }],
    tolerance: 1e-3,
    isBatchable: true,
    ...over,
  };
}

/** A task without a picture: tensors in, two scores out. */
export function taskInfo(
  over: Partial<Omit<TaskInfo, 'variants'>> = {},
  variants = [variantSpec()],
): TaskInfo {
  return {
    task: 'digits',
    kind: 'tensor',
    labels: ['even', 'odd'],
    postprocess: { kind: 'classification', output: 'y', activation: 'none' },
    defaults: {},
    revision: 1,
    rejected: [],
    ...over,
    variants: variants.map((spec) => ({ ...spec, tiers: [] })),
  };
}

/** Rows of two numbers. */
export function rowsOf(name: string, ...values: number[]): Tensor {
  return float32Tensor(name, [values.length / 2, 2], Float32Array.from(values));
}

/** A place on an edge worker, as a lease offers it. */
export function leasedOption(over: Partial<LeasedOption> = {}): LeasedOption {
  return {
    variant: 'tiny-fp32-onnx',
    revision: 1,
    model: 'tiny',
    tier: 'edge',
    worker: 'edge-1',
    deviceClass: 'cpu:test',
    accuracy: 0.9,
    link: certainly(0),
    wait: certainly(0),
    compute: certainly(5),
    costPicoUsd: 1_000,
    worstCostPicoUsd: 2_000,
    ...over,
  };
}

/** A lease on which work in the page costs nothing but its time. */
export function lease(over: Partial<Lease> = {}): Lease {
  return {
    id: 'lease-1',
    ttlMs: 1_000,
    remote: [leasedOption()],
    profiles: [],
    prices: { energyPicoUsdPerMs: 1, artifactPicoUsdPerByte: 0, expectedReuse: 1 },
    ...over,
  };
}
