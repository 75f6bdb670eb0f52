import type { Pixels } from '@nearfar/core';
import { MeshError } from '@nearfar/protocol';

/**
 * Reads the pixels of a decoded picture and closes it. Runs on the main thread and in workers.
 *
 * A canvas keeps colours multiplied by their alpha, so half-transparent pixels come back rounded, by less than one
 * level of 255 after they are laid over white; opaque ones are exact.
 */
export function readPixels(source: ImageBitmap | ImageData): Pixels {
  if (source instanceof ImageData) return source;
  const { width, height } = source;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', { willReadFrequently: true, colorSpace: 'srgb' });
  if (context === null)
    throw new MeshError('MESH_BAD_MEDIA', 'The browser gave no canvas to read the picture');
  context.drawImage(source, 0, 0);
  source.close();
  return context.getImageData(0, 0, width, height);
}
