import type { Pixels } from '@nearfar/core';
import { LIMITS, MeshError } from '@nearfar/protocol';
import type { SourceFiles } from '../source-files.ts';
import type { ArrayRows } from './array-rows.ts';
import { randomCrop } from './crop.ts';
import type { EvalTask } from './eval-task.ts';
import { type InputRows, identityOf } from './input-rows.ts';
import { openNpz } from './npz.ts';
import { npzRows } from './npz-data.ts';
import { decodePicture, MAX_PICTURE_BYTES, pictureRow } from './pictures.ts';
import { readDataFile } from './read-data-file.ts';
import { randomOfRow } from './seeded-random.ts';

export { noiseInputs } from './noise-inputs.ts';

/** Largest sum of all sample files, in bytes. */
const MAX_SAMPLES_BYTES = LIMITS.maxArtifactBytes;
/** Pictures that are held decoded: rows are asked for in order, by a few lanes at a time. */
const DECODED_PICTURES = 2;

type SampleTask = Pick<EvalTask, 'preprocess' | 'inputs'>;

/**
 * Real inputs without labels, on which variants are compared: of pictures (PNG, JPEG) first each as it is and then random
 * crops, all through the task's preprocessing; of `.npz` files the rows of their arrays (an array for each input, or `x`).
 * The same files, count and seed give the same rows. Sounds are read by `readWav`, since models of sounds keep a state.
 *
 * @param count how many rows pictures give; of arrays at most so many, spread over all.
 * @throws MeshError `MESH_BAD_EVAL_DATA` when there are no samples, some of another kind, or some that cannot be read.
 */
export async function openSampleInputs(
  files: SourceFiles,
  samples: readonly string[],
  task: SampleTask,
  count = 256,
  seed = 1,
): Promise<InputRows> {
  const kinds = new Set(samples.map(kindOf));
  const [kind] = kinds;
  if (kind === undefined) {
    throw new MeshError('MESH_BAD_EVAL_DATA', 'Expected "samples" to name at least one file, got none');
  }
  if (kinds.size > 1) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected "samples" of one kind, got pictures and arrays: ${samples.map((path) => `"${path}"`).join(', ')}`,
    );
  }
  const contents = await readAll(files, samples, kind === 'picture' ? MAX_PICTURE_BYTES : MAX_SAMPLES_BYTES);
  const identity = identityOf(['samples', kind, task.preprocess, task.inputs, count, seed], contents);
  const rows =
    kind === 'picture'
      ? pictureRows(samples, contents, task, count, seed)
      : spreadRows(samples, contents, task, count);
  return { ...rows, identity };
}

type Kind = 'picture' | 'arrays';

function kindOf(path: string): Kind {
  if (/\.(png|jpe?g)$/i.test(path)) return 'picture';
  if (/\.npz$/i.test(path)) return 'arrays';
  const hint = /\.wav$/i.test(path) ? '; sounds need "preprocess" of kind "audio"' : '';
  throw new MeshError(
    'MESH_BAD_EVAL_DATA',
    `Expected samples to be .png, .jpg, .jpeg or .npz files, got "${path}"${hint}`,
  );
}

async function readAll(
  files: SourceFiles,
  samples: readonly string[],
  maxFileBytes: number,
): Promise<Uint8Array[]> {
  const contents: Uint8Array[] = [];
  let leftBytes = MAX_SAMPLES_BYTES;
  for (const path of samples) {
    const content = await readDataFile(files, path, Math.min(leftBytes, maxFileBytes));
    leftBytes -= content.byteLength;
    contents.push(content);
  }
  return contents;
}

function pictureRows(
  samples: readonly string[],
  contents: readonly Uint8Array[],
  task: SampleTask,
  count: number,
  seed: number,
): ArrayRows {
  const toRow = pictureRow(task.preprocess, task.inputs);
  // Letters and digits, which are mostly read in grey, mean something else in a mirror.
  const mayFlip = task.preprocess?.kind === 'image' && task.preprocess.channels === 'rgb';
  const decoded = new Map<number, Pixels>();
  const pictureOf = (number: number): Pixels => {
    const known = decoded.get(number);
    if (known !== undefined) return known;
    const picture = decodePicture(contents[number] ?? new Uint8Array(), samples[number] ?? '');
    const [oldest] = decoded.keys();
    if (oldest !== undefined && decoded.size >= DECODED_PICTURES) decoded.delete(oldest);
    decoded.set(number, picture);
    return picture;
  };
  // Rows of one picture lie together, so that it is decoded once.
  const numberOf = (index: number) => Math.floor((index * samples.length) / count);
  for (const number of samples.keys()) pictureOf(number);
  return {
    count,
    inputs: (index) => {
      const number = numberOf(index);
      const picture = pictureOf(number);
      const isFirst = index === 0 || numberOf(index - 1) !== number;
      return toRow(isFirst ? picture : randomCrop(picture, randomOfRow(seed, index), mayFlip));
    },
  };
}

function spreadRows(
  samples: readonly string[],
  contents: readonly Uint8Array[],
  task: SampleTask,
  count: number,
): ArrayRows {
  const parts = contents.map((content, number) => {
    const what = `"${samples[number]}"`;
    return npzRows(openNpz(content, what), undefined, task, what);
  });
  const total = parts.reduce((sum, part) => sum + part.count, 0);
  if (total === 0) {
    throw new MeshError('MESH_BAD_EVAL_DATA', 'Expected the arrays in "samples" to have rows, got none');
  }
  const taken = Math.min(count, total);
  return {
    count: taken,
    inputs: (index) => {
      let position = Math.floor((index * total) / taken);
      for (const part of parts) {
        if (position < part.count) return part.inputs(position);
        position -= part.count;
      }
      throw new RangeError(`Expected a row from 0 to ${taken - 1}, got ${index}`);
    },
  };
}
