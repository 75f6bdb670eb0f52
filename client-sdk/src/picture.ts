import { type ImagePreprocess, LIMITS, MeshError, type Tensor } from '@nearfar/protocol';
import type { EngineHost } from './engine/engine-host.ts';
import type { PictureSource } from './engine/messages.ts';
import type { MeshInput } from './types.ts';

type PictureInput = Exclude<MeshInput, Tensor | readonly Tensor[]>;

/**
 * Turns what the caller gave into the model's tensors, with the same arithmetic as the mesh. Pictures are read in
 * `host`'s worker, since a large one takes longer than a frame.
 *
 * @throws MeshError `MESH_BAD_MEDIA`, or the signal's reason.
 */
export async function toTensors(
  input: MeshInput,
  rule: ImagePreprocess | undefined,
  host: Pick<EngineHost, 'picture'>,
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
  return await host.picture({ kind: 'picture', source: await decode(input), rule }, signal);
}

/** The picture as a worker can take it; a copy, so that the caller's own stays usable. */
async function decode(input: PictureInput): Promise<PictureSource> {
  if (typeof ImageData === 'function' && input instanceof ImageData) return checkedSize(input);
  try {
    // Without conversions the pixels are those of the file, as the mesh reads them.
    const options = { colorSpaceConversion: 'none', premultiplyAlpha: 'none' } as const;
    return checkedSize(await createImageBitmap(input as ImageBitmapSource, options));
  } catch (cause) {
    if (cause instanceof MeshError) throw cause;
    throw new MeshError('MESH_BAD_MEDIA', 'This browser cannot decode the picture', { cause });
  }
}

function checkedSize<Source extends PictureSource>(source: Source): Source {
  const { width, height } = source;
  if (width * height > 0 && width * height <= LIMITS.maxImagePixels) return source;
  if ('close' in source) source.close();
  throw new MeshError(
    'MESH_BAD_MEDIA',
    `Expected a picture of 1 to ${LIMITS.maxImagePixels} pixels, got ${width}×${height}`,
  );
}

function isTensors(input: MeshInput): input is readonly Tensor[] {
  return Array.isArray(input);
}

function isTensor(input: Exclude<MeshInput, readonly Tensor[]>): input is Tensor {
  return 'datatype' in input && 'shape' in input;
}
