import { LIMITS, MeshError } from '@nearfar/protocol';
import { decode } from 'jpeg-js';
import type { Pixels } from './image.ts';
import { applyOrientation, readOrientation } from './orientation.ts';

/**
 * Reads a JPEG file, turned as its EXIF data says. Pages and the mesh both decode JPEGs here: decoders differ in how they
 * bring back colours that are stored at half the size, by up to 150 levels of 255 at a sharp edge.
 *
 * @throws MeshError `MESH_BAD_MEDIA` when the bytes are no JPEG, or one of more than `LIMITS.maxImagePixels` pixels.
 */
export function readJpeg(file: Uint8Array): Pixels {
  if (file[0] !== 0xff || file[1] !== 0xd8) {
    throw new MeshError('MESH_BAD_MEDIA', 'The body is no JPEG: its signature is missing');
  }
  try {
    const { width, height, data } = decode(file, {
      useTArray: true,
      formatAsRGBA: true,
      maxResolutionInMP: LIMITS.maxImagePixels / 1_000_000,
      maxMemoryUsageInMB: 512,
    });
    return applyOrientation({ width, height, data }, readOrientation(file));
  } catch (cause) {
    throw new MeshError('MESH_BAD_MEDIA', `The body is no readable JPEG: ${(cause as Error).message}`, {
      cause,
    });
  }
}
