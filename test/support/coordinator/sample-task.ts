import type { RegisteredTask } from '@nearfar/core';
import type { Prices, VariantSpec } from '@nearfar/protocol';

/** A tiny registered task: four numbers in, three scores out. */
export function sampleTask(overrides: Partial<RegisteredTask> = {}): RegisteredTask {
  return {
    task: 'sample',
    revision: 1,
    kind: 'image-classification',
    labels: ['a', 'b', 'c'],
    preprocess: {
      kind: 'image',
      input: 'image',
      width: 2,
      height: 2,
      channels: 'grayscale',
      layout: 'NCHW',
      invert: 'never',
      center: 'box',
      mean: [0],
      std: [1],
    },
    postprocess: { kind: 'classification', output: 'logits', activation: 'softmax' },
    defaults: { slo_ms: 200 },
    variants: [sampleVariant()],
    rejected: [],
    source: 'sample-source',
    registeredAt: '2026-11-01T00:00:00.000Z',
    ...overrides,
  };
}

/** The same task from other files: the second revision of `tiny`. */
export function changedTask(overrides: Partial<RegisteredTask> = {}): RegisteredTask {
  const artifacts = [{ path: 'tiny.onnx', sha256: 'b'.repeat(64), sizeBytes: 12_000 }];
  return sampleTask({
    source: 'changed-source',
    variants: [sampleVariant({ revision: 2, artifacts })],
    ...overrides,
  });
}

/** A variant of `sampleTask`. */
export function sampleVariant(overrides: Partial<VariantSpec> = {}): VariantSpec {
  return {
    task: 'sample',
    variant: 'tiny-fp32-onnx',
    revision: 1,
    model: 'tiny',
    precision: 'fp32',
    format: 'onnx',
    origin: 'supplied',
    accuracy: { value: 0.9, source: 'declared', sampleSize: 0 },
    inputs: [{ name: 'image', datatype: 'FP32', shape: [-1, 1, 2, 2] }],
    outputs: [{ name: 'logits', datatype: 'FP32', shape: [-1, 3] }],
    artifacts: [{ path: 'tiny.onnx', sha256: 'a'.repeat(64), sizeBytes: 10_000 }],
    tolerance: 0.001,
    isBatchable: true,
    ...overrides,
  };
}

/** A price book with round figures. */
export const SAMPLE_PRICES: Prices = {
  date: '2026-11-01',
  edge: { usdPerCpuHour: 0.36, source: 'test' },
  pool: { usdPerHour: { cuda: 3.6, webgpu: 3.6, cpu: 3.6 }, source: 'test' },
  egress: { answersUsdPerGb: 0, artifactsUsdPerGb: 0.02, source: 'test' },
  browser: { energyUsdPerHour: 0.0036, expectedReuse: 200, source: 'test' },
};

/** `sampleTask` with a second, larger model and the cascade of both, by its name `SAMPLE_CASCADE`. */
export function cascadeTask(): RegisteredTask {
  const large = sampleVariant({
    variant: 'large-fp32-onnx',
    model: 'large',
    accuracy: { value: 0.96, source: 'declared', sampleSize: 0 },
  });
  const cascade = sampleVariant({
    variant: SAMPLE_CASCADE,
    model: 'large',
    precision: 'mixed',
    format: 'cascade',
    artifacts: [],
    accuracy: { value: 0.95, source: 'measured', sampleSize: 1_000 },
    cascade: {
      small: 'tiny-fp32-onnx',
      large: 'large-fp32-onnx',
      threshold: 0.9,
      escalation: { value: 0.4, sampleSize: 1_000, interval: { low: 0.3, high: 0.5 } },
    },
  });
  return sampleTask({ variants: [sampleVariant(), large, cascade] });
}

export const SAMPLE_CASCADE = 'tiny-fp32-onnx..large-fp32-onnx.t90';
