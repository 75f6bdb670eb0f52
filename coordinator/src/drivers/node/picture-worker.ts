import { parentPort } from 'node:worker_threads';
import { imageToTensor, type Pixels } from '@nearfar/core';
import { type ImagePreprocess, LIMITS, MeshError } from '@nearfar/protocol';
import { decode as decodePng } from 'fast-png';
import { decode as decodeJpeg } from 'jpeg-js';

/** What the reader sends. */
export interface PictureTask {
  readonly id: number;
  readonly body: Uint8Array;
  readonly contentType: string;
  readonly rule: ImagePreprocess;
}

parentPort?.on('message', ({ id, body, contentType, rule }: PictureTask) => {
  try {
    const tensor = imageToTensor(decode(body, contentType), rule);
    parentPort?.postMessage({ id, tensor });
  } catch (cause) {
    const error =
      cause instanceof MeshError
        ? cause
        : new MeshError(
            'MESH_BAD_MEDIA',
            `The body is no readable ${contentType}: ${(cause as Error).message}`,
          );
    parentPort?.postMessage({ id, error: error.toBody() });
  }
});

function decode(body: Uint8Array, contentType: string): Pixels {
  if (contentType === 'image/png') return readPng(body);
  if (contentType === 'image/jpeg') return readJpeg(body);
  throw new MeshError(
    'MESH_UNSUPPORTED_MEDIA_TYPE',
    `Expected image/png or image/jpeg, got "${contentType}"`,
  );
}

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

function readPng(body: Uint8Array): Pixels {
  if (body.byteLength < 33 || PNG_SIGNATURE.some((byte, index) => body[index] !== byte)) {
    throw new MeshError('MESH_BAD_MEDIA', 'The body is no PNG: its signature is missing');
  }
  // The header comes first; a picture that would not fit memory is refused before it is unpacked.
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  checkSize(view.getUint32(16), view.getUint32(20));
  const { width, height, channels, depth, data, palette } = decodePng(body);
  const pixels = new Uint8Array(width * height * 4);
  const most = 2 ** depth - 1;
  const sample = (index: number) => Math.round(((data[index] ?? 0) * 255) / most);
  for (let pixel = 0; pixel < width * height; pixel += 1) {
    const target = pixel * 4;
    if (palette !== undefined) {
      const colour = palette[data[pixel] ?? 0] ?? [0, 0, 0];
      pixels.set([colour[0] ?? 0, colour[1] ?? 0, colour[2] ?? 0, colour[3] ?? 255], target);
      continue;
    }
    const source = pixel * channels;
    const isColour = channels >= 3;
    pixels[target] = sample(source);
    pixels[target + 1] = sample(isColour ? source + 1 : source);
    pixels[target + 2] = sample(isColour ? source + 2 : source);
    pixels[target + 3] = channels % 2 === 0 ? sample(source + channels - 1) : 255;
  }
  return { width, height, data: pixels };
}

function readJpeg(body: Uint8Array): Pixels {
  if (body[0] !== 0xff || body[1] !== 0xd8) {
    throw new MeshError('MESH_BAD_MEDIA', 'The body is no JPEG: its signature is missing');
  }
  const { width, height, data } = decodeJpeg(body, {
    useTArray: true,
    formatAsRGBA: true,
    maxResolutionInMP: LIMITS.maxImagePixels / 1_000_000,
    maxMemoryUsageInMB: 512,
  });
  return { width, height, data };
}

function checkSize(width: number, height: number): void {
  if (width > 0 && height > 0 && width * height <= LIMITS.maxImagePixels) return;
  throw new MeshError(
    'MESH_BAD_MEDIA',
    `Expected a picture of at most ${LIMITS.maxImagePixels} pixels, got ${width}×${height}`,
  );
}
