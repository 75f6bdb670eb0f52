import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

const PLACES = [process.env.NEARFAR_DATA, fileURLToPath(new URL('../../../shared/data', import.meta.url))];

/** The folder with the data sets, or undefined where they are not installed. */
export const dataFolder = PLACES.find((place) => place !== undefined && existsSync(`${place}/mnist`));

/** Why suites that need the data sets are skipped. */
export const NO_DATA =
  'the data sets are not here: set NEARFAR_DATA to a folder with mnist/ and fashion-mnist/';

/** Labelled test pictures of one data set: one byte a pixel, row-major. */
export interface LabelledPictures {
  readonly count: number;
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint8Array;
  readonly labels: Uint8Array;
}

/** Reads the test part of a data set in IDX form. */
export async function readTestPictures(name: 'mnist' | 'fashion-mnist'): Promise<LabelledPictures> {
  const read = async (file: string) =>
    new Uint8Array(gunzipSync(await readFile(`${dataFolder}/${name}/${file}`)));
  const images = await read('t10k-images-idx3-ubyte.gz');
  const labels = await read('t10k-labels-idx1-ubyte.gz');
  const header = new DataView(images.buffer, images.byteOffset, 16);
  return {
    count: header.getUint32(4),
    height: header.getUint32(8),
    width: header.getUint32(12),
    pixels: images.subarray(16),
    labels: labels.subarray(8),
  };
}
