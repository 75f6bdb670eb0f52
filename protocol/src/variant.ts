import * as v from 'valibot';
import { nameSchema, sha256Schema } from './ids.ts';
import { LIMITS } from './limits.ts';
import { DATATYPES } from './tensor.ts';

const bytes = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** Name, datatype and shape of an input or output; -1 stands for a dimension of any size. */
export const tensorSignatureSchema = v.object({
  name: v.string(),
  datatype: v.picklist(DATATYPES),
  shape: v.pipe(v.array(v.pipe(v.number(), v.safeInteger(), v.minValue(-1))), v.maxLength(LIMITS.maxRank)),
});

/** One file of a variant, addressed by what it contains. */
export const artifactSchema = v.object({
  /** Name inside the variant, for formats whose files refer to each other. */
  path: v.string(),
  sha256: sha256Schema,
  sizeBytes: v.pipe(bytes, v.maxValue(LIMITS.maxArtifactBytes)),
});
export type Artifact = v.InferOutput<typeof artifactSchema>;

const unit = v.pipe(v.number(), v.minValue(0), v.maxValue(1));

/** A 95 % interval of a share. */
export const shareIntervalSchema = v.object({ low: unit, high: unit });
export type ShareInterval = v.InferOutput<typeof shareIntervalSchema>;

/** How often a variant gives the answer of the model that it was made from. */
export const agreementSchema = v.object({
  /** Share of inputs with the same answer, 0 to 1. */
  value: unit,
  sampleSize: bytes,
  /** Wilson interval. */
  interval: shareIntervalSchema,
  /** What was run: the eval data, crops of the manifest's samples, or noise where there is neither. */
  inputs: v.picklist(['eval', 'samples', 'noise']),
});
export type Agreement = v.InferOutput<typeof agreementSchema>;

/**
 * An accuracy figure and where it comes from. `measured`: on labelled data, by us. `declared`: by the manifest. `agreement`:
 * what is left of a declared figure in the worst case, declared − (1 − agreement). Only the first is ever shown as measured.
 */
export const accuracySchema = v.object({
  /** Share of right answers, 0 to 1. */
  value: unit,
  source: v.picklist(['measured', 'agreement', 'declared']),
  /** Labelled inputs that it was measured on; 0 when it was not. */
  sampleSize: bytes,
  /** What counts as right (`docs/variants.md`); absent = top-1. */
  metric: v.optional(v.string()),
  /** Wilson interval of a measured figure. */
  interval: v.optional(shareIntervalSchema),
  /** Accuracy lost against the model that it was made from, paired on the same inputs, −1 to 1, with its interval. */
  drop: v.optional(v.object({ value: v.number(), low: v.number(), high: v.number() })),
  agreement: v.optional(agreementSchema),
});
export type Accuracy = v.InferOutput<typeof accuracySchema>;

/**
 * A variant made of two others: the small one answers, and where its confidence (its highest score after the activation)
 * is below `threshold`, the large one answers instead.
 */
export const cascadeSchema = v.object({
  small: nameSchema,
  large: nameSchema,
  threshold: unit,
  /** Share of inputs that go on to the large stage, measured on data that the threshold was not chosen on. */
  escalation: v.object({ value: unit, sampleSize: bytes, interval: shareIntervalSchema }),
});
export type Cascade = v.InferOutput<typeof cascadeSchema>;

/** A variant that was made or supplied and is not served, and why. */
export const rejectedVariantSchema = v.object({
  variant: nameSchema,
  model: nameSchema,
  reason: v.pipe(v.string(), v.maxLength(1024)),
});
export type RejectedVariant = v.InferOutput<typeof rejectedVariantSchema>;

/** All that a worker or a page needs in order to load and run a variant. */
export const variantSpecSchema = v.object({
  task: nameSchema,
  /** Variant id, unique in its task: `<model>-<precision>-<format>`, a cascade `<small>..<large>.t<percent>`. */
  variant: nameSchema,
  /** Grows by one each time that the variant's weights change. */
  revision: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  model: nameSchema,
  /** `int8` = weights only, computed in fp32; `int8-dynamic` = activations too; `mixed` = a cascade. */
  precision: v.picklist(['fp32', 'fp16', 'int8', 'int8-dynamic', 'mixed']),
  format: v.picklist(['onnx', 'tfjs', 'cascade']),
  /** Whether the manifest brought it or registration made it. */
  origin: v.optional(v.picklist(['supplied', 'generated']), 'supplied'),
  accuracy: accuracySchema,
  inputs: v.array(tensorSignatureSchema),
  outputs: v.array(tensorSignatureSchema),
  /** The first is the entry file; empty for a cascade, whose stages have their own. */
  artifacts: v.array(artifactSchema),
  /** Only for a cascade: its stages, which are variants of the same task. */
  cascade: v.optional(cascadeSchema),
  /** Known inputs and outputs (`goldenFileSchema`). */
  golden: v.optional(artifactSchema),
  /** Largest absolute difference from the golden outputs that passes the self-test. */
  tolerance: v.pipe(v.number(), v.gtValue(0)),
  /** Whether the first axis of every input and output is a free batch axis. */
  isBatchable: v.boolean(),
});
export type VariantSpec = v.InferOutput<typeof variantSpecSchema>;
