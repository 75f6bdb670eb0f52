import { parentPort } from 'node:worker_threads';
import { imageToTensor, type Pixels } from '@nearfar/core';
import { readJpeg } from '@nearfar/core/jpeg';
import { readPng } from '@nearfar/core/png';
import { type ErrorBody, type ImagePreprocess, MeshError, type Tensor } from '@nearfar/protocol';

/** What the reader sends: one picture, and the next one after its reply. */
export interface PictureTask {
  readonly body: Uint8Array;
  readonly contentType: string;
  readonly rule: ImagePreprocess;
}

/** What comes back for a picture. */
export type PictureReply =
  | { readonly kind: 'tensor'; readonly tensor: Tensor }
  | { readonly kind: 'error'; readonly error: ErrorBody };

parentPort?.on('message', ({ body, contentType, rule }: PictureTask) => {
  try {
    reply({ kind: 'tensor', tensor: imageToTensor(decode(body, contentType), rule) });
  } catch (cause) {
    const error =
      cause instanceof MeshError
        ? cause
        : new MeshError(
            'MESH_BAD_MEDIA',
            `The body is no readable ${contentType}: ${(cause as Error).message}`,
          );
    reply({ kind: 'error', error: error.toBody() });
  }
});

function reply(message: PictureReply): void {
  parentPort?.postMessage(message);
}

function decode(body: Uint8Array, contentType: string): Pixels {
  if (contentType === 'image/png') return readPng(body);
  if (contentType === 'image/jpeg') return readJpeg(body);
  throw new MeshError(
    'MESH_UNSUPPORTED_MEDIA_TYPE',
    `Expected image/png or image/jpeg, got "${contentType}"`,
  );
}
