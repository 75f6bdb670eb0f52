import { MeshError } from '@nearfar/protocol';

/** The chunks of a PNG that its pixels depend on. */
export interface PngChunks {
  /** Data of the one IHDR; a view of the file. */
  readonly header: Uint8Array;
  /** PLTE and tRNS in the file's order, each whole: length, type, data and checksum; views of the file. */
  readonly colours: readonly Uint8Array[];
  /** Data of all IDAT chunks, one after another: a zlib stream. */
  readonly image: Uint8Array;
}

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
/** Length and type before a chunk's data, and the checksum after it. */
const LEADING_BYTES = 8;
const CHECKSUM_BYTES = 4;
const HEADER_DATA_BYTES = 13;
/** Most data of the chunks that describe colours: a palette has up to 256 entries (PNG, section 11.2.2). */
const MAX_COLOUR_BYTES: ReadonlyMap<string, number> = new Map([
  ['PLTE', 768],
  ['tRNS', 256],
]);

/**
 * Walks through a PNG up to its IEND. Chunks on which no pixel depends, such as colour profiles and texts, are passed
 * over unread: they may be packed and unpack to any size.
 *
 * @throws MeshError `MESH_BAD_MEDIA` when the bytes are no PNG, are cut off, or hold a chunk twice, in the wrong place
 * or of a wrong size.
 */
export function readChunks(file: Uint8Array): PngChunks {
  if (SIGNATURE.some((byte, index) => file[index] !== byte)) {
    throw badMedia('The body is no PNG: its signature is missing');
  }
  let header: Uint8Array | undefined;
  const colours = new Map<string, Uint8Array>();
  // Joined at once: a file may hold millions of empty IDAT chunks, and a view of each would take more than the file.
  const image = new Uint8Array(file.byteLength);
  let imageBytes = 0;
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let offset = SIGNATURE.byteLength; offset + LEADING_BYTES + CHECKSUM_BYTES <= file.byteLength; ) {
    const length = view.getUint32(offset);
    const type = String.fromCharCode(...file.subarray(offset + 4, offset + LEADING_BYTES));
    const end = offset + LEADING_BYTES + length + CHECKSUM_BYTES;
    if (end > file.byteLength) break;
    const data = file.subarray(offset + LEADING_BYTES, end - CHECKSUM_BYTES);
    if ((type === 'IHDR') !== (header === undefined)) {
      throw badMedia(
        `Expected one IHDR at the start of the PNG, got ${JSON.stringify(type)} at byte ${offset}`,
      );
    }
    if (header === undefined) {
      if (length !== HEADER_DATA_BYTES) {
        throw badMedia(`Expected the PNG's IHDR to hold ${HEADER_DATA_BYTES} bytes, got ${length}`);
      }
      header = data;
    } else if (type === 'IDAT') {
      image.set(data, imageBytes);
      imageBytes += length;
    } else if (type === 'IEND') {
      return { header, colours: [...colours.values()], image: image.subarray(0, imageBytes) };
    } else if (MAX_COLOUR_BYTES.has(type)) {
      checkColours(type, length, colours);
      colours.set(type, file.subarray(offset, end));
    }
    offset = end;
  }
  throw badMedia(`Expected the PNG to end with IEND, but it is cut off after ${file.byteLength} bytes`);
}

/** A file of these chunks alone, with one IDAT. Checksums that are not copied are 0: the decoder does not read them. */
export function joinChunks({ header, colours, image }: PngChunks): Uint8Array {
  const parts = [
    SIGNATURE,
    chunk('IHDR', header),
    ...colours,
    chunk('IDAT', image),
    chunk('IEND', new Uint8Array(0)),
  ];
  const file = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let offset = 0;
  for (const part of parts) {
    file.set(part, offset);
    offset += part.byteLength;
  }
  return file;
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(LEADING_BYTES + data.byteLength + CHECKSUM_BYTES);
  new DataView(bytes.buffer).setUint32(0, data.byteLength);
  for (let index = 0; index < type.length; index += 1) bytes[4 + index] = type.charCodeAt(index);
  bytes.set(data, LEADING_BYTES);
  return bytes;
}

function checkColours(type: string, length: number, colours: ReadonlyMap<string, Uint8Array>): void {
  if (colours.has(type)) throw badMedia(`Expected at most one ${type} in the PNG, got a second one`);
  const most = MAX_COLOUR_BYTES.get(type) ?? 0;
  if (length > most)
    throw badMedia(`Expected the PNG's ${type} to hold at most ${most} bytes, got ${length}`);
}

function badMedia(message: string): MeshError {
  return new MeshError('MESH_BAD_MEDIA', message);
}
