import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { imageToTensor, type Pixels } from '@nearfar/core';
import { readPng } from '@nearfar/core/png';
import { type Manifest, manifestSchema, parseOrThrow, type Tensor } from '@nearfar/protocol';
import { dataDirectory, sampleManifests } from '../places.ts';

const unzip = promisify(gunzip);

/** Test pictures of one task, as the model's tensors. */
export interface TaskInputs {
  readonly task: string;
  readonly tensors: readonly Tensor[];
}

/** Where the demo's pictures come from, in a sentence for its report. */
export interface DemoInputs {
  readonly tasks: readonly TaskInputs[];
  readonly source: string;
}

const PICTURES_A_TASK = 256;
const IDX_HEADER_BYTES = 16;

/**
 * Reads the test pictures of the data sets where they are, else the pictures that come with the sample tasks.
 *
 * @throws Error when `givenDirectory` does not hold the data sets.
 */
export async function loadInputs(givenDirectory: string | undefined): Promise<DemoInputs> {
  const directory = dataDirectory(givenDirectory);
  const manifests = sampleManifests();
  if (directory !== undefined) {
    const tasks = await Promise.all(manifests.map((path) => loadTestPictures(path, directory)));
    return { tasks, source: `the test pictures in ${directory}` };
  }
  if (givenDirectory !== undefined) {
    throw new Error(
      `Expected "${givenDirectory}" to hold mnist/ and fashion-mnist/ (IDX, gzip); "python models/train/data.py ${givenDirectory}" fetches them`,
    );
  }
  const tasks = await Promise.all(manifests.map(loadSamples));
  return { tasks, source: 'the sample pictures in models/ (name the test pictures with --data)' };
}

/** The pictures that a task's manifest names as samples, all of them PNGs. */
async function loadSamples(manifestPath: string): Promise<TaskInputs> {
  const { task, preprocess, samples = [] } = await readManifest(manifestPath);
  if (preprocess?.kind !== 'image' || samples.length === 0) {
    throw new Error(`Expected ${dirname(manifestPath)} to name preprocessing and samples`);
  }
  const tensors = samples.map(async (path) =>
    imageToTensor(readPng(await readFile(join(dirname(manifestPath), path))), preprocess),
  );
  return { task, tensors: await Promise.all(tensors) };
}

async function readManifest(path: string): Promise<Manifest> {
  const json: unknown = JSON.parse(await readFile(path, 'utf8'));
  return parseOrThrow(manifestSchema, json, 'MESH_BAD_MANIFEST', `manifest ${path}`);
}

async function loadTestPictures(manifestPath: string, directory: string): Promise<TaskInputs> {
  const manifest = await readManifest(manifestPath);
  const { preprocess } = manifest;
  const images = manifest.eval?.images;
  if (preprocess?.kind !== 'image' || images === undefined) {
    throw new Error(`Expected ${dirname(manifestPath)} to name preprocessing and evaluation pictures`);
  }
  const bytes = await unzip(await readFile(join(directory, manifest.eval?.directory ?? '', images)));
  return {
    task: manifest.task,
    tensors: idxPictures(bytes, manifest).map((pixels) => imageToTensor(pixels, preprocess)),
  };
}

/** The first pictures of an IDX file: a 16-byte big-endian header, then one byte a pixel. */
function idxPictures(bytes: Uint8Array, manifest: Manifest): Pixels[] {
  const header = new DataView(bytes.buffer, bytes.byteOffset, IDX_HEADER_BYTES);
  const count = Math.min(PICTURES_A_TASK, header.getUint32(4));
  const height = header.getUint32(8);
  const width = header.getUint32(12);
  if (header.getUint32(0) !== 0x0803)
    throw new Error(`Expected the pictures of "${manifest.task}" to be an IDX file`);
  return Array.from({ length: count }, (_, index) => {
    const data = new Uint8Array(width * height * 4);
    for (let pixel = 0; pixel < width * height; pixel += 1) {
      const value = bytes[IDX_HEADER_BYTES + index * width * height + pixel] ?? 0;
      data.set([value, value, value, 255], pixel * 4);
    }
    return { width, height, data };
  });
}
