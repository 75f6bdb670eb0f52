import { imageToTensor, type Pixels } from '@nearfar/core';
import { readJpeg } from '@nearfar/core/jpeg';
import { readPng } from '@nearfar/core/png';
import {
  type ImagePreprocess,
  LIMITS,
  type Manifest,
  MeshError,
  type Tensor,
  type TensorSignature,
} from '@nearfar/protocol';

/** Many pictures of one size: one byte a channel, row-major, channels last. */
export interface PictureArray {
  readonly count: number;
  readonly width: number;
  readonly height: number;
  /** 1 = grey, 3 = RGB. */
  readonly channels: 1 | 3;
  readonly data: Uint8Array;
}

/** A picture file that a request may have. */
export const MAX_PICTURE_BYTES = LIMITS.maxBodyBytes;

/**
 * Takes an array [N, height, width], or with 1 or 3 channels as a last axis, for pictures.
 *
 * @param what where it comes from, for messages.
 * @throws MeshError `MESH_BAD_EVAL_DATA` for another shape.
 */
export function pictureArray(shape: readonly number[], data: Uint8Array, what: string): PictureArray {
  const [count = 0, height = 0, width = 0, channels = 1] = shape;
  const isPictures = shape.length === 3 || (shape.length === 4 && (channels === 1 || channels === 3));
  if (!isPictures || height < 1 || width < 1 || height * width > LIMITS.maxImagePixels) {
    const hint = shape.length === 4 && (height === 1 || height === 3) ? '; move the channels last' : '';
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected ${what} to have shape [N, height, width] or [N, height, width, 3], got [${shape.join(', ')}]${hint}`,
    );
  }
  return { count, width, height, channels: channels === 3 ? 3 : 1, data };
}

/** One picture of an array; `index` from 0. */
export function pictureAt({ width, height, channels, data }: PictureArray, index: number): Pixels {
  const pixels = new Uint8Array(width * height * 4);
  let source = index * width * height * channels;
  for (let target = 0; target < pixels.length; target += 4) {
    const red = data[source] ?? 0;
    pixels[target] = red;
    pixels[target + 1] = channels === 3 ? (data[source + 1] ?? 0) : red;
    pixels[target + 2] = channels === 3 ? (data[source + 2] ?? 0) : red;
    pixels[target + 3] = 255;
    source += channels;
  }
  return { width, height, data: pixels };
}

/**
 * Decodes a PNG or JPEG file as requests are decoded; which of them it is, its first bytes say and not its name.
 *
 * @throws MeshError `MESH_BAD_EVAL_DATA` naming the file.
 */
export function decodePicture(file: Uint8Array, path: string): Pixels {
  if (!isPng(file) && !isJpeg(file)) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected "${path}" to be a PNG or JPEG file, got something else`,
    );
  }
  try {
    return isPng(file) ? readPng(file) : readJpeg(file);
  } catch (cause) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Cannot read the picture "${path}": ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
}

/** What turns a picture into the whole input of a model. */
export type PictureRow = (pixels: Pixels) => readonly Tensor[];

/**
 * How pictures become the inputs of the task.
 *
 * @throws MeshError `MESH_BAD_EVAL_DATA` when the manifest does not say it, or the model has inputs that pictures leave open.
 */
export function pictureRow(
  preprocess: Manifest['preprocess'],
  inputs: readonly TensorSignature[],
): PictureRow {
  const rule = imageRule(preprocess);
  const others = inputs.filter(({ name }) => name !== rule.input).map(({ name }) => `"${name}"`);
  if (others.length > 0 || inputs.length === 0) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected the model to have the one input "${rule.input}", which pictures give, got ${others.join(', ') || 'none'} as well; give all inputs as arrays in a .npz file`,
    );
  }
  return (pixels) => [imageToTensor(pixels, rule)];
}

function imageRule(preprocess: Manifest['preprocess']): ImagePreprocess {
  if (preprocess?.kind === 'image') return preprocess;
  throw new MeshError(
    'MESH_BAD_EVAL_DATA',
    `Expected "preprocess" of kind "image" in the manifest, which says how pictures become inputs, got ${preprocess === undefined ? 'none' : `kind "${preprocess.kind}"`}`,
  );
}

function isPng(file: Uint8Array): boolean {
  return file[0] === 0x89 && file[1] === 0x50;
}

function isJpeg(file: Uint8Array): boolean {
  return file[0] === 0xff && file[1] === 0xd8;
}
