import type { Accuracy } from '@nearfar/protocol';
import { expect, test } from 'vitest';
import { formatVariants } from '../../../cli/src/variant-table.ts';
import { sampleVariant } from '../../support/coordinator/sample-task.ts';

function table(accuracy: Accuracy): string {
  const variant = { ...sampleVariant({ accuracy }), tiers: [] };
  return formatVariants([
    {
      task: variant.task,
      kind: 'tensor',
      labels: [],
      defaults: {},
      revision: 1,
      variants: [variant],
      rejected: [],
    },
  ]);
}

const INTERVAL = { low: 0.88, high: 0.92 };
const AGREEMENT = {
  value: 0.99,
  sampleSize: 256,
  interval: { low: 0.97, high: 1 },
  inputs: 'samples',
} as const;

test.each<[string, Accuracy, string]>([
  [
    'measured',
    { value: 0.9, source: 'measured', sampleSize: 1_000, metric: 'top-1', interval: INTERVAL },
    '90.00 % (measured on 1000, 88.00 % to 92.00 %)',
  ],
  [
    'measured as top-5',
    { value: 0.9, source: 'measured', sampleSize: 1_000, metric: 'top-5', interval: INTERVAL },
    '90.00 % (top-5, measured on 1000, 88.00 % to 92.00 %)',
  ],
  ['declared', { value: 0.9, source: 'declared', sampleSize: 0 }, '90.00 % (declared)'],
  [
    'declared, less disagreement',
    { value: 0.89, source: 'agreement', sampleSize: 0, agreement: AGREEMENT },
    '≥ 89.00 % (declared, less disagreement)',
  ],
  ['unknown', { value: 0, source: 'declared', sampleSize: 0 }, 'not declared'],
  [
    'unknown, less disagreement',
    { value: 0, source: 'agreement', sampleSize: 0, agreement: AGREEMENT },
    'not declared',
  ],
])('an accuracy that is %s is shown as that', (_, accuracy, text) => {
  expect(table(accuracy)).toContain(text);
  expect(table(accuracy)).not.toContain('≥ 0');
});
