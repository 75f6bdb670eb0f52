import { describe, expect, test } from 'vitest';
import { warmth } from '../../../cli/src/register/when-warm.ts';
import { sampleVariant } from '../../support/coordinator/sample-task.ts';

type Worker = Parameters<typeof warmth>[1][number];
type State = Worker['replicas'][number]['state'];

const TFJS = { ...sampleVariant({ variant: 'tiny-fp32-tfjs', format: 'tfjs' }), tiers: [] };
const ONNX = { ...sampleVariant({ variant: 'tiny-fp32-onnx' }), tiers: [] };
const TASK = { task: ONNX.task, variants: [ONNX, TFJS] };

function worker(
  replicas: Readonly<Record<string, State>>,
  state = 'active',
  revision = ONNX.revision,
): Worker {
  return {
    state,
    replicas: Object.entries(replicas).map(([variant, replicaState]) => ({
      task: ONNX.task,
      variant,
      revision,
      state: replicaState,
    })),
  };
}

describe('how warm a task is', () => {
  test('counts what workers were given and hold, or failed to', () => {
    const workers = [
      worker({ 'tiny-fp32-onnx': 'ready', 'tiny-fp32-tfjs': 'loading' }),
      worker({ 'tiny-fp32-onnx': 'ready', 'tiny-fp32-tfjs': 'failed' }),
    ];
    expect(warmth(TASK, workers)).toEqual({ loaded: 3, wanted: 4 });
  });

  test('waits for a worker that shows nothing of the revision yet', () => {
    expect(warmth(TASK, [worker({})])).toEqual({ loaded: 0, wanted: 1 });
    const former = worker({ 'tiny-fp32-onnx': 'ready' }, 'active', ONNX.revision + 1);
    expect(warmth(TASK, [former])).toEqual({ loaded: 0, wanted: 1 });
  });

  test('does not wait for tfjs on a worker that runs ONNX only', () => {
    expect(warmth(TASK, [worker({ 'tiny-fp32-onnx': 'ready' })])).toEqual({ loaded: 1, wanted: 1 });
    expect(warmth({ ...TASK, variants: [TFJS] }, [worker({})])).toEqual({ loaded: 0, wanted: 0 });
  });

  test('does not wait for workers that are leaving', () => {
    expect(warmth(TASK, [worker({ 'tiny-fp32-onnx': 'loading' }, 'draining')])).toEqual({
      loaded: 0,
      wanted: 0,
    });
  });
});
