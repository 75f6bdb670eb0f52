import type { Pixels } from '@nearfar/core';
import { LIMITS, MeshError } from '@nearfar/protocol';

/** A picture on its way to a tensor. A bitmap is closed once it is read. */
export type PictureSource = ImageBitmap | ImageData | Blob;

/**
 * Reads the pixels of a picture.
 *
 * @throws MeshError `MESH_BAD_MEDIA`.
 */
export async function readPixels(source: PictureSource): Promise<Pixels> {
  if (source instanceof ImageData) return source;
  if (source instanceof Blob) return await readFile(source);
  return readBitmap(source);
}

async function readFile(file: Blob): Promise<Pixels> {
  // As the mesh reads them, by the same code; each decoder is loaded with the first picture that needs it.
  if (file.type === 'image/png') {
    const { readPng } = await import('@nearfar/core/png');
    return readPng(new Uint8Array(await file.arrayBuffer()));
  }
  if (file.type === 'image/jpeg') {
    const { readJpeg } = await import('@nearfar/core/jpeg');
    return readJpeg(new Uint8Array(await file.arrayBuffer()));
  }
  try {
    // The mesh takes no other formats, so here the page's own decoder is the only one.
    const options = { colorSpaceConversion: 'none', premultiplyAlpha: 'none' } as const;
    return readBitmap(await createImageBitmap(file, options));
  } catch (cause) {
    if (cause instanceof MeshError) throw cause;
    throw new MeshError('MESH_BAD_MEDIA', 'This browser cannot decode the picture', { cause });
  }
}

/**
 * A canvas keeps colours multiplied by their alpha, so half-transparent pixels come back rounded, by less than one
 * level of 255 after they are laid over white; opaque ones are exact.
 */
function readBitmap(bitmap: ImageBitmap): Pixels {
  const { width, height } = bitmap;
  if (width * height > LIMITS.maxImagePixels) {
    bitmap.close();
    throw new MeshError(
      'MESH_BAD_MEDIA',
      `Expected a picture of at most ${LIMITS.maxImagePixels} pixels, got ${width}×${height}`,
    );
  }
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', { willReadFrequently: true, colorSpace: 'srgb' });
  if (context === null)
    throw new MeshError('MESH_BAD_MEDIA', 'The browser gave no canvas to read the picture');
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}
