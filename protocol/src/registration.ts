import * as v from 'valibot';
import { errorBodySchema } from './errors.ts';
import { nameSchema, sha256Schema } from './ids.ts';
import { LIMITS } from './limits.ts';
import { taskInfoSchema } from './mesh-http.ts';
import { rolloutSchema } from './rollout.ts';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** What a registration may choose. */
export const registrationOptionsSchema = v.object({
  /** Accuracy (or agreement) that a generated variant may lose against its base, 0 to 1. */
  maxAccuracyDrop: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1)), 0.01),
  /** Whether further variants are made; false = only those of the manifest. */
  generate: v.optional(v.boolean(), true),
  /** Most labelled inputs to measure on, spread over the data; absent = all. */
  evalLimit: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
  rollout: v.optional(rolloutSchema, { mode: 'now' }),
});
export type RegistrationOptions = v.InferOutput<typeof registrationOptionsSchema>;

/**
 * `POST /v1/models`: a manifest whose files are in the artifact store already (`PUT /v1/artifacts/{sha256}`). The answer is
 * a stream of `registrationEventSchema`, one JSON a line; the last one is `done` or `failed`.
 */
export const registrationRequestSchema = v.object({
  /** Checked by `manifestSchema` in a step of its own, so that its errors name its fields. */
  manifest: v.record(v.string(), v.unknown()),
  /** The files that the manifest speaks of, by their path relative to it. */
  files: v.record(
    v.string(),
    v.object({ sha256: sha256Schema, sizeBytes: v.pipe(count, v.maxValue(LIMITS.maxArtifactBytes)) }),
  ),
  options: v.optional(registrationOptionsSchema, {}),
});
export type RegistrationRequest = v.InferOutput<typeof registrationRequestSchema>;

/** What a registration is doing. */
export const registrationProgressSchema = v.object({
  type: v.literal('progress'),
  phase: v.picklist(['read', 'generate', 'verify', 'evaluate', 'cascade', 'publish']),
  /** The variant that it is about. */
  variant: v.optional(nameSchema),
  done: count,
  total: count,
});
export type RegistrationProgress = v.InferOutput<typeof registrationProgressSchema>;

export const registrationEventSchema = v.variant('type', [
  registrationProgressSchema,
  v.object({
    type: v.literal('variant'),
    variant: nameSchema,
    status: v.picklist(['accepted', 'rejected']),
    reason: v.optional(v.string()),
  }),
  /** Something that whoever registers should know, for people. */
  v.object({ type: v.literal('note'), message: v.string() }),
  v.object({ type: v.literal('done'), task: taskInfoSchema }),
  v.object({ type: v.literal('failed'), error: errorBodySchema }),
]);
export type RegistrationEvent = v.InferOutput<typeof registrationEventSchema>;
