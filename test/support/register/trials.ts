import { float32Tensor, float32Values, type Tensor } from '@nearfar/protocol';
import type { Journal, LoadedVariant, VariantRunner } from '@nearfar/register';
import type { Candidate } from '../../../register/src/candidate.ts';
import type { Rows } from '../../../register/src/rows.ts';
import { BaseOutputs, type TrialParts, type Trying } from '../../../register/src/trial.ts';

/** A journal in memory. */
export function memoryJournal(): Journal {
  const kept = new Map<string, string>();
  return {
    find: async (key) => {
      const result = kept.get(key);
      return result === undefined ? undefined : JSON.parse(result);
    },
    keep: async (key, result) => void kept.set(key, JSON.stringify(result)),
  };
}

/** A runner that computes by a function; `loads` counts what was loaded. */
export function fakeRunner(compute: LoadedVariant['run']): VariantRunner & { loads: number } {
  const runner = {
    loads: 0,
    load: async () => {
      runner.loads += 1;
      return { lanes: 1, run: compute, close: async () => undefined };
    },
  };
  return runner;
}

/** The one FP32 input with `change` applied to its values, as output "y". */
export function answering(change: (values: Float32Array) => ArrayLike<number>): LoadedVariant['run'] {
  return async (_, [x]) => {
    if (x === undefined) throw new Error('Expected an input');
    return [float32Tensor('y', [...x.shape], Float32Array.from(change(float32Values(x))))];
  };
}

/** Rows of one FP32 input "x". */
export function rowsOf(
  values: readonly (readonly number[])[],
  shapeOf = (row: readonly number[]) => [1, row.length],
): Rows {
  return {
    count: values.length,
    identity: JSON.stringify(values),
    source: 'samples',
    inputs: (index): readonly Tensor[] => {
      const row = values[index] ?? [];
      return [float32Tensor('x', shapeOf(row), Float32Array.from(row))];
    },
  };
}

export function trialParts(rows: Rows, overrides: Partial<TrialParts> = {}): TrialParts {
  return {
    runner: fakeRunner(answering((values) => values)),
    journal: memoryJournal(),
    read: async () => new Uint8Array(),
    rows,
    labelled: undefined,
    positions: Array.from({ length: rows.count }, (_, index) => index),
    classifier: undefined,
    baseOutputs: new BaseOutputs(),
    signal: new AbortController().signal,
    onProgress: () => undefined,
    ...overrides,
  };
}

/** A candidate with one input "x" and one output, both with a free first axis. */
export function trying(overrides: Partial<Candidate> = {}, output = 'y'): Trying {
  const side = (name: string) => [{ name, datatype: 'FP32' as const, shape: [-1, -1] }];
  return {
    candidate: {
      variant: 'tiny-fp32-onnx',
      model: 'tiny',
      precision: 'fp32',
      format: 'onnx',
      origin: 'supplied',
      base: undefined,
      declaredAccuracy: undefined,
      artifacts: [{ path: 'tiny.onnx', sha256: '0'.repeat(64), sizeBytes: 1 }],
      ...overrides,
    },
    inputs: side('x'),
    outputs: side(output),
  };
}
