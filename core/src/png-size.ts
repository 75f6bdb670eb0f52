import { MeshError } from '@nearfar/protocol';
import { Unzlib } from 'fflate';

/** What a PNG's header says of its pixels. */
export interface PngHeader {
  readonly width: number;
  readonly height: number;
  /** Bits a sample. */
  readonly depth: number;
  /** Samples a pixel. */
  readonly channels: number;
  readonly isInterlaced: boolean;
}

/** Samples a pixel and the bits that a sample may have, by colour type (PNG, table 11.1). */
const COLOUR_TYPES: ReadonlyMap<number, { readonly channels: number; readonly depths: readonly number[] }> =
  new Map([
    [0, { channels: 1, depths: [1, 2, 4, 8, 16] }],
    [2, { channels: 3, depths: [8, 16] }],
    [3, { channels: 1, depths: [1, 2, 4, 8] }],
    [4, { channels: 2, depths: [8, 16] }],
    [6, { channels: 4, depths: [8, 16] }],
  ]);

/** First column and row of each pass of an interlaced picture, and the steps between them (PNG, section 8.2). */
const PASSES = [
  { x: 0, y: 0, xStep: 8, yStep: 8 },
  { x: 4, y: 0, xStep: 8, yStep: 8 },
  { x: 0, y: 4, xStep: 4, yStep: 8 },
  { x: 2, y: 0, xStep: 4, yStep: 4 },
  { x: 0, y: 2, xStep: 2, yStep: 4 },
  { x: 1, y: 0, xStep: 2, yStep: 2 },
  { x: 0, y: 1, xStep: 1, yStep: 2 },
];

/** Bytes that are unpacked at a time. DEFLATE gives at most 1,032 bytes for one, so a piece gives at most 16.5 MiB. */
const PIECE_BYTES = 16 * 1024;
/**
 * Pieces in a row that may unpack to nothing: a stored block is unpacked when all of its 64 KiB are there. After more
 * of them the stream has ended, and the inflater would copy ever more of what follows.
 */
const MAX_SILENT_PIECES = 6;

/** Reads the data of an IHDR. @throws MeshError `MESH_BAD_MEDIA` for a colour type or depth that is not read. */
export function readHeader(header: Uint8Array): PngHeader {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const depth = view.getUint8(8);
  const colourType = view.getUint8(9);
  const known = COLOUR_TYPES.get(colourType);
  if (known?.depths.includes(depth) !== true) {
    throw new MeshError(
      'MESH_BAD_MEDIA',
      `Expected a colour type and depth of table 11.1 of the PNG specification, got ${colourType} with ${depth} bits`,
    );
  }
  const isInterlaced = view.getUint8(12) === 1;
  if (isInterlaced && depth < 8) {
    // fast-png reads the passes of such pictures as if each sample were a byte.
    throw new MeshError(
      'MESH_BAD_MEDIA',
      `Interlaced PNGs of less than 8 bits a sample cannot be read, got ${depth}: save the picture without interlacing`,
    );
  }
  return {
    width: view.getUint32(0),
    height: view.getUint32(4),
    depth,
    channels: known.channels,
    isInterlaced,
  };
}

/**
 * Unpacks the image data piece by piece, keeping nothing, and stops as soon as there is more than the header implies.
 *
 * @param packed the data of all IDAT chunks, a zlib stream.
 * @throws MeshError `MESH_BAD_MEDIA` when it unpacks to more, goes on after its end or is no zlib stream.
 */
export function checkUnpackedSize(packed: Uint8Array, header: PngHeader): void {
  const implied = unpackedBytes(header);
  let unpacked = 0;
  let silentPieces = 0;
  const inflater = new Unzlib((bytes) => {
    unpacked += bytes.byteLength;
    silentPieces = bytes.byteLength === 0 ? silentPieces + 1 : 0;
  });
  for (let offset = 0; offset < packed.byteLength; offset += PIECE_BYTES) {
    inflate(inflater, packed.subarray(offset, offset + PIECE_BYTES));
    if (unpacked > implied) {
      throw new MeshError(
        'MESH_BAD_MEDIA',
        `Expected the PNG's image data to unpack to ${implied} bytes, as its header implies, got more`,
      );
    }
    if (silentPieces > MAX_SILENT_PIECES) {
      throw new MeshError(
        'MESH_BAD_MEDIA',
        `Expected the PNG's image data to end at byte ${offset} or before, got ${packed.byteLength} bytes`,
      );
    }
  }
}

function inflate(inflater: Unzlib, piece: Uint8Array): void {
  try {
    inflater.push(piece);
  } catch (cause) {
    throw new MeshError('MESH_BAD_MEDIA', `The PNG's image data is damaged: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** Bytes of the unpacked image data: each row of each pass begins with its filter and is filled to whole bytes. */
function unpackedBytes({ width, height, depth, channels, isInterlaced }: PngHeader): number {
  const bytesOf = (columns: number, rows: number) =>
    columns === 0 ? 0 : rows * (1 + Math.ceil((columns * channels * depth) / 8));
  if (!isInterlaced) return bytesOf(width, height);
  return PASSES.reduce((sum, { x, y, xStep, yStep }) => {
    const columns = Math.max(0, Math.ceil((width - x) / xStep));
    const rows = Math.max(0, Math.ceil((height - y) / yStep));
    return sum + bytesOf(columns, rows);
  }, 0);
}
