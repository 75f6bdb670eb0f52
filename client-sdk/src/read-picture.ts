import { imageToTensor } from '@nearfar/core';
import type { ImagePreprocess, Tensor } from '@nearfar/protocol';
import { type PictureSource, readPixels } from './pixels.ts';

/** Turns a picture into the model's tensor, in whichever thread it is called. @throws MeshError `MESH_BAD_MEDIA`. */
export async function readPicture(source: PictureSource, rule: ImagePreprocess): Promise<Tensor> {
  return imageToTensor(await readPixels(source), rule);
}
