import { LIMITS, MeshError } from '@nearfar/protocol';
import { decode } from 'fast-png';
import type { Pixels } from './image.ts';
import { joinChunks, readChunks } from './png-chunks.ts';
import { checkUnpackedSize, readHeader } from './png-size.ts';

type Decoded = ReturnType<typeof decode>;

/**
 * Reads a PNG file of any colour type, at 8 bits a channel. Pages and the mesh both decode PNGs here: a browser's own
 * decoder multiplies colours by their alpha and back, which rounds them.
 *
 * @throws MeshError `MESH_BAD_MEDIA` when the bytes are no PNG, one of more than `LIMITS.maxImagePixels` pixels, or one
 * whose data unpacks to more than its header implies.
 */
export function readPng(file: Uint8Array): Pixels {
  const chunks = readChunks(file);
  const header = readHeader(chunks.header);
  // A picture that would not fit memory is refused before it is unpacked.
  checkPixels(header.width, header.height);
  checkUnpackedSize(chunks.image, header);
  try {
    return toRgba(decode(joinChunks(chunks)));
  } catch (cause) {
    throw new MeshError('MESH_BAD_MEDIA', `The body is no readable PNG: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** Refuses pictures without pixels, or with more than a request may have. */
function checkPixels(width: number, height: number): void {
  if (width > 0 && height > 0 && width * height <= LIMITS.maxImagePixels) return;
  throw new MeshError(
    'MESH_BAD_MEDIA',
    `Expected a picture of 1 to ${LIMITS.maxImagePixels} pixels, got ${width}×${height}`,
  );
}

/** Samples of less than a byte are packed, each row beginning with a byte of its own (PNG, section 7.2). */
function unpack({ width, height, depth, data }: Decoded): ArrayLike<number> {
  if (depth >= 8) return data;
  const rowBytes = Math.ceil((width * depth) / 8);
  const mask = 2 ** depth - 1;
  const samples = new Uint8Array(width * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const bit = x * depth;
      const byte = data[y * rowBytes + (bit >> 3)] ?? 0;
      samples[y * width + x] = (byte >> (8 - depth - (bit & 7))) & mask;
    }
  }
  return samples;
}

function toRgba(decoded: Decoded): Pixels {
  const { width, height, channels, depth, palette, transparency } = decoded;
  const samples = unpack(decoded);
  const pixels = new Uint8Array(width * height * 4);
  const scale = 255 / (2 ** depth - 1);
  const isColour = channels >= 3;
  for (let pixel = 0; pixel < width * height; pixel += 1) {
    const target = pixel * 4;
    if (palette !== undefined) {
      const [red = 0, green = 0, blue = 0, alpha = 255] = palette[samples[pixel] ?? 0] ?? [];
      pixels[target] = red;
      pixels[target + 1] = green;
      pixels[target + 2] = blue;
      pixels[target + 3] = alpha;
      continue;
    }
    const source = pixel * channels;
    const red = samples[source] ?? 0;
    const green = isColour ? (samples[source + 1] ?? 0) : red;
    const blue = isColour ? (samples[source + 2] ?? 0) : red;
    pixels[target] = Math.round(red * scale);
    pixels[target + 1] = Math.round(green * scale);
    pixels[target + 2] = Math.round(blue * scale);
    if (channels % 2 === 0) pixels[target + 3] = Math.round((samples[source + channels - 1] ?? 0) * scale);
    else pixels[target + 3] = isKeyedOut(transparency, red, green, blue) ? 0 : 255;
  }
  return { width, height, data: pixels };
}

/** Whether a colour is the one that a picture without an alpha channel names as transparent (PNG, tRNS). */
function isKeyedOut(key: Decoded['transparency'], red: number, green: number, blue: number): boolean {
  if (key === undefined) return false;
  return key[0] === red && (key.length < 3 || (key[1] === green && key[2] === blue));
}
