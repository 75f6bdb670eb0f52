/** What the EXIF data of a test picture holds; all but the value has the standard's own value unless it is given. */
export interface ExifParts {
  readonly value: number;
  readonly isLittleEndian?: boolean;
  readonly tag?: number;
  /** 3 = a 16-bit number. */
  readonly type?: number;
  readonly count?: number;
  /** Offset of the directory that it claims. */
  readonly directory?: number;
  /** Number of entries that it claims. */
  readonly entries?: number;
}

/** A JPEG with an EXIF segment of one entry, its orientation, put behind the start marker. */
export function insertExif(jpeg: Uint8Array, parts: ExifParts): Uint8Array<ArrayBuffer> {
  const {
    value,
    isLittleEndian = true,
    tag = 0x0112,
    type = 3,
    count = 1,
    directory = 8,
    entries = 1,
  } = parts;
  const name = [0x45, 0x78, 0x69, 0x66, 0, 0];
  const tiff = new DataView(new ArrayBuffer(26));
  tiff.setUint16(0, isLittleEndian ? 0x4949 : 0x4d4d);
  tiff.setUint16(2, 42, isLittleEndian);
  tiff.setUint32(4, directory, isLittleEndian);
  tiff.setUint16(8, entries, isLittleEndian);
  tiff.setUint16(10, tag, isLittleEndian);
  tiff.setUint16(12, type, isLittleEndian);
  tiff.setUint32(14, count, isLittleEndian);
  tiff.setUint16(18, value, isLittleEndian);
  const data = [...name, ...new Uint8Array(tiff.buffer)];
  return Uint8Array.from([
    ...jpeg.subarray(0, 2),
    0xff,
    0xe1,
    0,
    data.length + 2,
    ...data,
    ...jpeg.subarray(2),
  ]);
}
