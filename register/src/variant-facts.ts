import type { Artifact, VariantSpec } from '@nearfar/protocol';
import type { Candidate } from './candidate.ts';
import type { Signature } from './task-signature.ts';

/** A variant before it has a place in a revision of a task. */
export type VariantFacts = Omit<VariantSpec, 'task' | 'revision'>;

/** Largest difference from the golden outputs that passes the self-test on another device, by precision. */
const TOLERANCE: Readonly<Record<Candidate['precision'], number>> = {
  fp32: 1e-3,
  fp16: 2e-2,
  int8: 2e-3,
  // A value that lies between two levels may be rounded to either, and later layers see the difference.
  'int8-dynamic': 0.1,
  mixed: 1e-3,
};

/** A candidate as it is registered. */
export function factsOf(
  { variant, model, precision, format, origin, artifacts }: Candidate,
  { inputs, outputs }: Signature,
  found: Pick<VariantSpec, 'accuracy' | 'isBatchable'> & { readonly golden: Artifact | undefined },
): VariantFacts {
  const { golden, ...rest } = found;
  return {
    variant,
    model,
    precision,
    format,
    origin,
    inputs: [...inputs] as VariantSpec['inputs'],
    outputs: [...outputs] as VariantSpec['outputs'],
    artifacts: [...artifacts],
    tolerance: TOLERANCE[precision],
    ...(golden !== undefined && { golden }),
    ...rest,
  };
}
