import type { VariantSpec } from '@nearfar/protocol';
import type { CascadeFacts } from './cascade-option.ts';
import type { Option } from './estimate.ts';

/** A cascade of a task, and which variants can run its stages. */
export interface CascadeStages {
  readonly variant: VariantSpec;
  readonly cascade: NonNullable<VariantSpec['cascade']>;
  readonly isSmall: (option: Option) => boolean;
  readonly isLarge: (option: Option) => boolean;
}

/** The cascades among a task's variants of which both stages are there; in their order. */
export function cascadeStages(variants: readonly VariantSpec[]): CascadeStages[] {
  return variants.flatMap((variant) => {
    const { cascade } = variant;
    if (cascade === undefined) return [];
    const small = stageTest(variants, cascade.small);
    const large = stageTest(variants, cascade.large);
    if (small === undefined || large === undefined) return [];
    return [{ variant, cascade, isSmall: small, isLarge: large }];
  });
}

/** The cascade as a decision weighs it, when a share `escalationRate` of inputs goes on. */
export function cascadeFacts(
  { variant, isSmall, isLarge }: CascadeStages,
  escalationRate: number,
): CascadeFacts {
  const { variant: name, revision, accuracy } = variant;
  return { variant: name, revision, accuracy: accuracy.value, escalationRate, isSmall, isLarge };
}

/**
 * What can run a stage in a page: its variant, and for one in fp32 the model's others in fp32 and fp16, in either format.
 * Their scores differ by less than the whole percents in which a threshold is chosen: logits to 1e-3 and 6e-3.
 */
export function stageForms<Variant extends VariantSpec>(
  variants: readonly Variant[],
  stage: string,
): Variant[] {
  const named = variants.find(({ variant }) => variant === stage);
  const isAlike = ({ precision, model }: VariantSpec) =>
    (precision === 'fp32' || precision === 'fp16') && model === named?.model;
  return variants.filter((entry) => entry === named || (named?.precision === 'fp32' && isAlike(entry)));
}

/** Workers hold every variant, so that they run the stage itself; a page holds one form of each model. */
function stageTest(variants: readonly VariantSpec[], stage: string): CascadeStages['isSmall'] | undefined {
  const named = variants.find(({ variant }) => variant === stage);
  if (named === undefined || named.format === 'cascade') return undefined;
  const forms = stageForms(variants, stage);
  return ({ tier, variant, revision }) =>
    tier === 'browser'
      ? forms.some((form) => form.variant === variant && form.revision === revision)
      : variant === stage && revision === named.revision;
}
