import * as v from 'valibot';
import { nameSchema } from './ids.ts';
import { LIMITS } from './limits.ts';
import { parametersSchema } from './parameters.ts';
import { DATATYPES } from './tensor.ts';

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

/**
 * How a sound becomes the inputs of a model that is run frame by frame: each run gets the last `context` samples of the frame
 * before (zeros at first) and `samples` new ones, the states that the run before gave (zeros at first), and the constants.
 */
export const audioPreprocessSchema = v.strictObject({
  kind: v.literal('audio'),
  /** Name of the input [1, context + samples] that receives the frame, as FP32 from −1 to 1. */
  input: v.string(),
  /** In hertz; other rates are refused. */
  sampleRate: v.pipe(v.number(), v.integer(), v.minValue(1_000), v.maxValue(384_000)),
  samples: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1_000_000)),
  context: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1_000_000)), 0),
  /** Outputs that come back as inputs of the next run. */
  state: v.optional(v.array(v.strictObject({ input: v.string(), output: v.string() })), []),
  /** Inputs that are the same in each run: every element has this value. */
  constants: v.optional(v.record(v.string(), v.number()), {}),
});
export type AudioPreprocess = v.InferOutput<typeof audioPreprocessSchema>;

/** How the output tensor becomes predictions. */
export const classificationPostprocessSchema = v.strictObject({
  kind: v.literal('classification'),
  /** Name of the output that holds one score a label. */
  output: v.string(),
  activation: v.picklist(['softmax', 'sigmoid', 'none']),
});
export type ClassificationPostprocess = v.InferOutput<typeof classificationPostprocessSchema>;

/** How box and score outputs become detections; the steps are documented at `detect` in core. */
export const detectionPostprocessSchema = v.strictObject({
  kind: v.literal('detection'),
  /** Output [N, boxes, labels (+ 1 background)] with the scores. */
  scores: v.string(),
  /** Output [N, boxes, 4] with the corners x0, y0, x1, y1, each 0 to 1. */
  boxes: v.string(),
  /** Whether the first score column stands for "nothing here". */
  hasBackground: v.optional(v.boolean(), false),
  activation: v.optional(v.picklist(['softmax', 'sigmoid', 'none']), 'none'),
  /** Boxes below this score are left out, 0 to 1. */
  minScore: v.optional(unit, 0.5),
  /** Of two boxes of one label that overlap more than this (intersection over union), the lower score is left out. */
  maxOverlap: v.optional(unit, 0.5),
});
export type DetectionPostprocess = v.InferOutput<typeof detectionPostprocessSchema>;

export const postprocessSchema = v.variant('kind', [
  classificationPostprocessSchema,
  detectionPostprocessSchema,
]);
export type Postprocess = v.InferOutput<typeof postprocessSchema>;

const text = v.pipe(v.string(), v.minLength(1));

/**
 * Labelled data to measure accuracy on. Paths are relative to the manifest or, where nothing is there, to a data folder
 * (`nearfar register --data`). Formats and metrics are described in `docs/variants.md`.
 */
export const evalSchema = v.strictObject({
  format: v.picklist(['idx', 'npz', 'folder']),
  /** Folder of the files; for `folder`, the one that holds a folder for each label. */
  directory: v.optional(text),
  /** `idx`: file of the pictures. `npz`: name of the array of pictures or input tensors (default `x`). */
  images: v.optional(text),
  /** `idx`: file of the labels. `npz`: name of the array of labels (default `y`). */
  labels: v.optional(text),
  /** `npz`: the file. */
  file: v.optional(text),
  /** What counts as right; default top-1 of a classifier. `within` compares every output value with the label's. */
  metric: v.optional(v.picklist(['top-1', 'top-5', 'within']), 'top-1'),
  /** `within`: largest absolute difference that counts as right. */
  tolerance: v.optional(v.pipe(v.number(), v.gtValue(0))),
});
export type EvalRule = v.InferOutput<typeof evalSchema>;

/** One set of weights, or one runtime format of it, that solves the task. */
export const manifestModelSchema = v.strictObject({
  name: nameSchema,
  format: v.picklist(['onnx', 'tfjs']),
  /** Relative to the manifest. */
  path: v.pipe(v.string(), v.minLength(1)),
  /** Declared accuracy, 0 to 1. */
  accuracy: v.optional(unit),
  /** What the weights are stored in; default fp32. Only fp32 ONNX models are made into further variants. */
  precision: v.optional(v.picklist(['fp32', 'fp16', 'int8', 'int8-dynamic']), 'fp32'),
  licence: v.string(),
});

/** `models/<task>/manifest.json`: a task and the models that solve it. */
export const manifestSchema = v.strictObject({
  /** The JSON Schema of this format, for editors. */
  $schema: v.optional(v.string()),
  task: nameSchema,
  kind: v.picklist(['image-classification', 'object-detection', 'audio-frame', 'tensor']),
  /** The labels in the order of the scores, or the path of a JSON file with them. */
  labels: v.optional(v.union([v.array(v.string()), text])),
  preprocess: v.optional(v.variant('kind', [imagePreprocessSchema, audioPreprocessSchema])),
  postprocess: v.optional(postprocessSchema),
  /** Request parameters that hold where a caller says nothing. */
  defaults: v.optional(parametersSchema),
  eval: v.optional(evalSchema),
  /** Example inputs, relative to the manifest: pictures, sounds (.wav) or arrays (.npz). */
  samples: v.optional(v.array(v.string())),
  /** Known inputs and outputs for the self-test on each device, relative to the manifest. */
  golden: v.optional(v.string()),
  models: v.pipe(v.array(manifestModelSchema), v.minLength(1), v.maxLength(LIMITS.maxModels)),
});
export type Manifest = v.InferOutput<typeof manifestSchema>;

const goldenTensorSchema = v.strictObject({
  datatype: v.picklist(DATATYPES),
  shape: v.array(v.pipe(v.number(), v.integer(), v.minValue(0))),
  /** Little-endian elements; with `grid`, one byte an element. */
  base64: v.string(),
  /** FP32 only: an element is `offset + scale × byte`. Inputs on such a grid are a quarter of the size. */
  grid: v.optional(v.strictObject({ scale: v.number(), offset: v.number() })),
});
export type GoldenTensor = v.InferOutput<typeof goldenTensorSchema>;

/**
 * Known inputs and the outputs that they must give within the variant's tolerance. `outputs` has an entry for the variant
 * or, in files that serve several variants, for its model.
 */
export const goldenFileSchema = v.strictObject({
  inputs: v.record(v.string(), goldenTensorSchema),
  outputs: v.record(v.string(), v.record(v.string(), goldenTensorSchema)),
});
export type GoldenFile = v.InferOutput<typeof goldenFileSchema>;
