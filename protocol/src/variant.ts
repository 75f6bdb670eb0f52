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

/** Where an accuracy figure comes from; a declared one is never shown as measured. */
export const accuracySchema = v.object({
  /** Share of right answers, 0 to 1. */
  value: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
  source: v.picklist(['measured', 'declared']),
  /** Inputs that it was measured on; 0 when declared. */
  sampleSize: bytes,
});
export type Accuracy = v.InferOutput<typeof accuracySchema>;

/** All that a worker or a page needs in order to load and run a variant. */
export const variantSpecSchema = v.object({
  task: nameSchema,
  /** Variant id, unique in its task: `<model>-<precision>-<format>`. */
  variant: nameSchema,
  /** Grows by one each time that the variant's weights change. */
  revision: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  model: nameSchema,
  precision: v.picklist(['fp32', 'fp16', 'int8']),
  format: v.picklist(['onnx', 'tfjs']),
  accuracy: accuracySchema,
  inputs: v.array(tensorSignatureSchema),
  outputs: v.array(tensorSignatureSchema),
  /** The first is the entry file. */
  artifacts: v.pipe(v.array(artifactSchema), v.minLength(1)),
  /** Known inputs and outputs (`goldenFileSchema`), keyed by model. */
  golden: v.optional(artifactSchema),
  /** Largest absolute difference from the golden outputs that passes the self-test. */
  tolerance: v.pipe(v.number(), v.gtValue(0)),
  /** Whether the first axis of every input and output is a free batch axis. */
  isBatchable: v.boolean(),
});
export type VariantSpec = v.InferOutput<typeof variantSpecSchema>;
