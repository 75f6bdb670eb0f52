import { type ImagePreprocess, MeshError, type Tensor } from '@nearfar/protocol';
import type { PictureReader } from './picture-reader.ts';
import type { PictureSource } from './pixels.ts';
import type { MeshInput } from './types.ts';

type PictureInput = Exclude<MeshInput, Tensor | readonly Tensor[]>;

/**
 * Turns what the caller gave into the model's tensors, with the same arithmetic as the mesh.
 *
 * @throws MeshError `MESH_BAD_MEDIA`, or the signal's reason.
 */
export async function toTensors(
  input: MeshInput,
  rule: ImagePreprocess | undefined,
  reader: Pick<PictureReader, 'read'>,
  signal: AbortSignal,
): Promise<readonly Tensor[]> {
  if (isTensors(input)) return input;
  if (isTensor(input)) return [input];
  if (rule === undefined) {
    throw new MeshError(
      'MESH_BAD_MEDIA',
      'This task takes tensors, not pictures: its manifest has no preprocessing',
    );
  }
  return await reader.read(await toSource(input), rule, signal);
}

/** The picture as a worker can take it; a copy, so that the caller's own stays usable. */
async function toSource(input: PictureInput): Promise<PictureSource> {
  if (input instanceof Blob) return input;
  if (typeof ImageData === 'function' && input instanceof ImageData) return input;
  try {
    const options = { colorSpaceConversion: 'none', premultiplyAlpha: 'none' } as const;
    return await createImageBitmap(input as ImageBitmapSource, options);
  } catch (cause) {
    throw new MeshError('MESH_BAD_MEDIA', 'This browser cannot read the picture', { cause });
  }
}

function isTensors(input: MeshInput): input is readonly Tensor[] {
  return Array.isArray(input);
}

function isTensor(input: Exclude<MeshInput, readonly Tensor[]>): input is Tensor {
  return 'datatype' in input && 'shape' in input;
}
