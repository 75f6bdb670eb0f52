import { parentPort } from 'node:worker_threads';
import { imageToTensor, type Pixels } from '@nearfar/core';
import { readPng } from '@nearfar/core/png';
import { type ImagePreprocess, LIMITS, MeshError } from '@nearfar/protocol';
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
