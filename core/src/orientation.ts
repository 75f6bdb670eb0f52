import type { Pixels } from './image.ts';

/** How the rows and columns of a stored picture lie when it is shown (EXIF, tag 0x0112); 1 = as stored. */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

/** How the shown picture is made of the stored one: first flipped, then turned along its diagonal. */
interface Change {
  readonly isFlippedX: boolean;
  readonly isFlippedY: boolean;
  /** Whether rows become columns. */
  readonly isTransposed: boolean;
}

const CHANGES: Readonly<Record<Orientation, Change>> = {
  1: { isFlippedX: false, isFlippedY: false, isTransposed: false },
  2: { isFlippedX: true, isFlippedY: false, isTransposed: false },
  3: { isFlippedX: true, isFlippedY: true, isTransposed: false },
  4: { isFlippedX: false, isFlippedY: true, isTransposed: false },
  5: { isFlippedX: false, isFlippedY: false, isTransposed: true },
  6: { isFlippedX: false, isFlippedY: true, isTransposed: true },
  7: { isFlippedX: true, isFlippedY: true, isTransposed: true },
  8: { isFlippedX: true, isFlippedY: false, isTransposed: true },
};

/** Markers of JPEG (ITU-T T.81, table B.1). */
const START_OF_SCAN = 0xda;
const END_OF_IMAGE = 0xd9;
const APP1 = 0xe1;
/** "Exif" and two null bytes, at the start of an APP1 segment. */
const EXIF = Uint8Array.of(0x45, 0x78, 0x69, 0x66, 0, 0);
/** TIFF: byte order, 42, offset of the first directory; a directory's entries have 12 bytes each. */
const LITTLE_ENDIAN = 0x4949;
const BIG_ENDIAN = 0x4d4d;
const TIFF_HEADER_BYTES = 8;
const ENTRY_BYTES = 12;
const ORIENTATION_TAG = 0x0112;
const SHORT = 3;

/** The orientation that a JPEG's EXIF data names; 1 when it names none or is malformed, as browsers have it. */
export function readOrientation(jpeg: Uint8Array): Orientation {
  const exif = findExif(jpeg);
  return exif === undefined ? 1 : (orientationOf(exif) ?? 1);
}

/** The picture as it is shown; `pixels` itself when that is how it is stored. */
export function applyOrientation(pixels: Pixels, orientation: Orientation): Pixels {
  if (orientation === 1) return pixels;
  const { isFlippedX, isFlippedY, isTransposed } = CHANGES[orientation];
  const { width: storedWidth, height: storedHeight, data: stored } = pixels;
  const [width, height] = isTransposed ? [storedHeight, storedWidth] : [storedWidth, storedHeight];
  // Where the first shown pixel is stored, and how far apart neighbours of a stored row and column are, in bytes.
  const first = ((isFlippedY ? storedHeight - 1 : 0) * storedWidth + (isFlippedX ? storedWidth - 1 : 0)) * 4;
  const alongRow = isFlippedX ? -4 : 4;
  const alongColumn = (isFlippedY ? -4 : 4) * storedWidth;
  const [stepX, stepY] = isTransposed ? [alongColumn, alongRow] : [alongRow, alongColumn];
  const data = new Uint8Array(stored.length);
  let target = 0;
  for (let y = 0; y < height; y += 1) {
    let source = first + y * stepY;
    for (let x = 0; x < width; x += 1) {
      data[target] = stored[source] ?? 0;
      data[target + 1] = stored[source + 1] ?? 0;
      data[target + 2] = stored[source + 2] ?? 0;
      data[target + 3] = stored[source + 3] ?? 0;
      target += 4;
      source += stepX;
    }
  }
  return { width, height, data };
}

/** The TIFF data of the first EXIF segment before the picture's own data, or undefined when there is none. */
function findExif(jpeg: Uint8Array): DataView | undefined {
  // After the two bytes of the start marker come segments: 0xff, marker, two bytes of length that count themselves.
  for (let offset = 2; offset + 4 <= jpeg.byteLength; ) {
    if (jpeg[offset] !== 0xff) return undefined;
    const marker = jpeg[offset + 1] ?? 0;
    if (marker === 0xff) {
      offset += 1;
      continue;
    }
    if (marker === START_OF_SCAN || marker === END_OF_IMAGE) return undefined;
    const start = offset + 4;
    const end = offset + 2 + ((jpeg[offset + 2] ?? 0) << 8) + (jpeg[offset + 3] ?? 0);
    if (end < start || end > jpeg.byteLength) return undefined;
    const tiff = start + EXIF.byteLength;
    if (marker === APP1 && tiff <= end && EXIF.every((byte, index) => jpeg[start + index] === byte)) {
      return new DataView(jpeg.buffer, jpeg.byteOffset + tiff, end - tiff);
    }
    offset = end;
  }
  return undefined;
}

function orientationOf(tiff: DataView): Orientation | undefined {
  if (tiff.byteLength < TIFF_HEADER_BYTES) return undefined;
  const byteOrder = tiff.getUint16(0);
  if (byteOrder !== LITTLE_ENDIAN && byteOrder !== BIG_ENDIAN) return undefined;
  const isLittle = byteOrder === LITTLE_ENDIAN;
  if (tiff.getUint16(2, isLittle) !== 42) return undefined;
  const directory = tiff.getUint32(4, isLittle);
  if (directory + 2 > tiff.byteLength) return undefined;
  const entries = tiff.getUint16(directory, isLittle);
  for (let index = 0; index < entries; index += 1) {
    const entry = directory + 2 + index * ENTRY_BYTES;
    if (entry + ENTRY_BYTES > tiff.byteLength) return undefined;
    if (tiff.getUint16(entry, isLittle) !== ORIENTATION_TAG) continue;
    const isOneShort =
      tiff.getUint16(entry + 2, isLittle) === SHORT && tiff.getUint32(entry + 4, isLittle) === 1;
    const value = tiff.getUint16(entry + 8, isLittle);
    return isOneShort && isOrientation(value) ? value : undefined;
  }
  return undefined;
}

function isOrientation(value: number): value is Orientation {
  return Object.hasOwn(CHANGES, value);
}
