import * as v from 'valibot';
import { LIMITS } from './limits.ts';
import { DATATYPES } from './tensor.ts';

const shapeSchema = v.pipe(
  v.array(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
  v.maxLength(LIMITS.maxRank),
);
const binarySize = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(LIMITS.maxBodyBytes));

/** Parameter values of the protocol are flat. */
export const parameterRecordSchema = v.record(v.string(), v.union([v.string(), v.number(), v.boolean()]));

/** One input of an inference request; `data` for JSON, `parameters.binary_data_size` for the binary extension. */
export const inferInputSchema = v.object({
  name: v.string(),
  shape: shapeSchema,
  datatype: v.picklist(DATATYPES),
  parameters: v.optional(v.looseObject({ binary_data_size: v.optional(binarySize) })),
  data: v.optional(v.array(v.unknown())),
});

export const inferOutputRequestSchema = v.object({
  name: v.string(),
  parameters: v.optional(v.looseObject({ binary_data: v.optional(v.boolean()) })),
});

/** The JSON of `POST /v2/models/{task}/infer`, or the JSON header of its binary form. */
export const inferRequestSchema = v.object({
  id: v.optional(v.pipe(v.string(), v.maxLength(256))),
  parameters: v.optional(parameterRecordSchema),
  inputs: v.pipe(v.array(inferInputSchema), v.minLength(1), v.maxLength(LIMITS.maxTensors)),
  outputs: v.optional(v.pipe(v.array(inferOutputRequestSchema), v.maxLength(LIMITS.maxTensors))),
});
export type InferRequest = v.InferOutput<typeof inferRequestSchema>;
export type InferInput = v.InferOutput<typeof inferInputSchema>;

/** One output of an answer. */
export const inferOutputSchema = v.object({
  name: v.string(),
  shape: shapeSchema,
  datatype: v.picklist(DATATYPES),
  parameters: v.optional(v.looseObject({ binary_data_size: v.optional(binarySize) })),
  data: v.optional(v.array(v.unknown())),
});

/** The JSON of an inference answer, or the JSON header of its binary form. */
export const inferResponseSchema = v.object({
  model_name: v.string(),
  model_version: v.optional(v.string()),
  id: v.optional(v.string()),
  parameters: v.optional(parameterRecordSchema),
  outputs: v.pipe(v.array(inferOutputSchema), v.maxLength(LIMITS.maxTensors)),
});
export type InferResponse = v.InferOutput<typeof inferResponseSchema>;

/** HTTP header that says how many bytes of a binary body are JSON. */
export const BINARY_HEADER = 'Inference-Header-Content-Length';
