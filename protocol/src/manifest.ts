import * as v from 'valibot';
import { nameSchema } from './ids.ts';
import { parametersSchema } from './parameters.ts';

const unit = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const side = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(4096));

/** How a picture becomes the model's tensor; the steps are documented at `imageToTensor` in core. */
export const imagePreprocessSchema = v.strictObject({
  kind: v.literal('image'),
  /** Name of the input that receives the tensor. */
  input: v.string(),
  width: side,
  height: side,
  channels: v.picklist(['grayscale', 'rgb']),
  layout: v.picklist(['NCHW', 'NHWC']),
  /** `auto` inverts a picture whose border is bright, so that ink is bright on a dark ground. */
  invert: v.optional(v.picklist(['never', 'always', 'auto']), 'never'),
  /** Crop to the pixels brighter than this (0 to 255) before resizing; absent = no crop. */
  trim: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(255))),
  /** Longer side after resizing, in pixels; absent = the picture is stretched to width × height. */
  boxSize: v.optional(side),
  /** Where the resized picture goes in the canvas: its middle or its centre of mass. */
  center: v.optional(v.picklist(['box', 'mass']), 'box'),
  /** Subtracted after scaling to 0..1; one number a channel. */
  mean: v.pipe(v.array(v.number()), v.minLength(1), v.maxLength(4)),
  /** Divides after the mean was subtracted; one number a channel, above 0. */
  std: v.pipe(v.array(v.pipe(v.number(), v.gtValue(0))), v.minLength(1), v.maxLength(4)),
});
export type ImagePreprocess = v.InferOutput<typeof imagePreprocessSchema>;

/** How the output tensor becomes predictions. */
export const classificationPostprocessSchema = v.strictObject({
  kind: v.literal('classification'),
  /** Name of the output that holds one score a label. */
  output: v.string(),
  activation: v.picklist(['softmax', 'sigmoid', 'none']),
});
export type ClassificationPostprocess = v.InferOutput<typeof classificationPostprocessSchema>;

/** One set of weights, or one runtime format of it, that solves the task. */
export const manifestModelSchema = v.strictObject({
  name: nameSchema,
  format: v.picklist(['onnx', 'tfjs']),
  /** Relative to the manifest. */
  path: v.pipe(v.string(), v.minLength(1)),
  /** Declared accuracy, 0 to 1. */
  accuracy: v.optional(unit),
  licence: v.string(),
});

/** `models/<task>/manifest.json`: a task and the models that solve it. */
export const manifestSchema = v.strictObject({
  task: nameSchema,
  kind: v.picklist(['image-classification', 'object-detection', 'audio-frame', 'tensor']),
  labels: v.optional(v.array(v.string())),
  preprocess: v.optional(imagePreprocessSchema),
  postprocess: v.optional(classificationPostprocessSchema),
  /** Request parameters that hold where a caller says nothing. */
  defaults: v.optional(parametersSchema),
  /** Labelled data to measure accuracy on; read from `directory` where it exists. */
  eval: v.optional(
    v.strictObject({
      format: v.picklist(['idx', 'npz', 'folder']),
      images: v.optional(v.string()),
      labels: v.optional(v.string()),
      directory: v.optional(v.string()),
    }),
  ),
  /** Example pictures, relative to the manifest. */
  samples: v.optional(v.array(v.string())),
  /** Known inputs and outputs for the self-test on each device, relative to the manifest. */
  golden: v.optional(v.string()),
  models: v.pipe(v.array(manifestModelSchema), v.minLength(1)),
});
export type Manifest = v.InferOutput<typeof manifestSchema>;

const goldenTensorSchema = v.strictObject({
  datatype: v.literal('FP32'),
  shape: v.array(v.pipe(v.number(), v.integer(), v.minValue(0))),
  /** Little-endian elements. */
  base64: v.string(),
});

/** Known inputs and, for each model, the outputs that they must give within the variant's tolerance. */
export const goldenFileSchema = v.strictObject({
  inputs: v.record(v.string(), goldenTensorSchema),
  outputs: v.record(v.string(), v.record(v.string(), goldenTensorSchema)),
});
export type GoldenFile = v.InferOutput<typeof goldenFileSchema>;
