import type { Pixels } from '@nearfar/core';
import type { Random } from './seeded-random.ts';

/** Smallest side of a crop, as a share of the picture's. */
const SMALLEST_SHARE = 0.4;

/**
 * A random part of a picture in the picture's own proportions: sides of 40 to 100 %, anywhere in it, every other one flipped
 * left to right if `mayFlip`.
 */
export function randomCrop(picture: Pixels, random: Random, mayFlip: boolean): Pixels {
  const share = SMALLEST_SHARE + (1 - SMALLEST_SHARE) * random();
  const width = Math.max(1, Math.round(picture.width * share));
  const height = Math.max(1, Math.round(picture.height * share));
  const left = Math.floor(random() * (picture.width - width + 1));
  const top = Math.floor(random() * (picture.height - height + 1));
  const isFlipped = random() < 0.5 && mayFlip;

  const data = new Uint8Array(width * height * 4);
  for (let y = 0; y < height; y += 1) {
    const start = ((top + y) * picture.width + left) * 4;
    const row = picture.data.subarray(start, start + width * 4);
    const target = y * width * 4;
    if (isFlipped) {
      for (let x = 0; x < width; x += 1) {
        const source = (width - 1 - x) * 4;
        data.set(row.subarray(source, source + 4), target + x * 4);
      }
    } else {
      data.set(row, target);
    }
  }
  return { width, height, data };
}
