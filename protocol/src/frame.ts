import CRC32 from 'crc-32';
import { MeshError } from './errors.ts';
import { LIMITS } from './limits.ts';
import { checkTensor, DATATYPES, type Datatype, type Tensor } from './tensor.ts';

/*
 * A frame of the link, all numbers little-endian:
 *
 *   0        4        8              12         16                16+header         length
 *   | length | CRC-32 | header bytes | reserved | JSON, padded to 8 | tensor | tensor …|
 *
 * `length` counts the whole frame. The CRC-32 (ISO-HDLC, as zlib) covers everything from byte 8. Tensors follow in
 * the order of the header's `tensors`, laid out as in the binary tensor extension of the Open Inference Protocol,
 * so bytes go from HTTP to worker as they came.
 */
const PREFIX_BYTES = 16;

/** Computes CRC-32 of `bytes`, continuing from `seed`. Node passes zlib's native one. */
export type Crc32 = (bytes: Uint8Array, seed: number) => number;

/** The portable CRC-32, for runtimes without a native one. */
export const portableCrc32: Crc32 = (bytes, seed) => CRC32.buf(bytes, seed) >>> 0;

/** A message and the tensors that travel with it. */
export interface Frame {
  readonly message: Readonly<Record<string, unknown>>;
  readonly tensors: readonly Tensor[];
}

interface TensorHeader {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly bytes: number;
}

/** Writes a frame into one buffer: the only copy of the tensors between the caller's body and the socket. */
export function encodeFrame(frame: Frame, crc32: Crc32 = portableCrc32): Uint8Array<ArrayBuffer> {
  const tensors: TensorHeader[] = frame.tensors.map(({ name, datatype, shape, data }) => ({
    name,
    datatype,
    shape,
    bytes: data.byteLength,
  }));
  const json = new TextEncoder().encode(JSON.stringify({ ...frame.message, tensors }));
  const headerBytes = Math.ceil(json.byteLength / 8) * 8;
  const length = tensors.reduce((sum, tensor) => sum + tensor.bytes, PREFIX_BYTES + headerBytes);
  if (length > LIMITS.maxFrameBytes) {
    throw new MeshError(
      'MESH_BAD_FRAME',
      `Expected a frame of at most ${LIMITS.maxFrameBytes} bytes, got ${length}`,
    );
  }
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  bytes.set(json, PREFIX_BYTES);
  bytes.fill(0x20, PREFIX_BYTES + json.byteLength, PREFIX_BYTES + headerBytes);
  let offset = PREFIX_BYTES + headerBytes;
  for (const tensor of frame.tensors) {
    bytes.set(tensor.data, offset);
    offset += tensor.data.byteLength;
  }
  view.setUint32(0, length, true);
  view.setUint32(8, headerBytes, true);
  view.setUint32(4, crc32(bytes.subarray(8), 0), true);
  return bytes;
}

/**
 * Reads a frame. The tensors are views of `bytes`.
 *
 * @throws MeshError `MESH_BAD_FRAME` naming what is wrong: length, checksum, header or tensor sizes.
 */
export function decodeFrame(bytes: Uint8Array, crc32: Crc32 = portableCrc32): Frame {
  if (bytes.byteLength < PREFIX_BYTES)
    throw bad(`Expected at least ${PREFIX_BYTES} bytes, got ${bytes.byteLength}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true);
  if (length !== bytes.byteLength)
    throw bad(`The frame says it has ${length} bytes, but ${bytes.byteLength} arrived`);
  const expected = view.getUint32(4, true);
  const found = crc32(bytes.subarray(8), 0);
  if (found !== expected)
    throw bad(`Checksum mismatch: the frame says ${hex(expected)}, its bytes give ${hex(found)}`);
  const headerBytes = view.getUint32(8, true);
  if (headerBytes > LIMITS.maxHeaderBytes || PREFIX_BYTES + headerBytes > length) {
    throw bad(`A header of ${headerBytes} bytes does not fit a frame of ${length}`);
  }
  const header = parseHeader(bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + headerBytes));
  const { tensors: described, ...message } = header;
  let offset = PREFIX_BYTES + headerBytes;
  const tensors = parseTensorHeaders(described).map((entry): Tensor => {
    if (offset + entry.bytes > length) throw bad(`Tensor "${entry.name}" runs past the end of the frame`);
    const tensor: Tensor = {
      name: entry.name,
      datatype: entry.datatype,
      shape: entry.shape,
      data: bytes.subarray(offset, offset + entry.bytes),
    };
    offset += entry.bytes;
    checkTensor(tensor);
    return tensor;
  });
  if (offset !== length) throw bad(`The frame has ${length - offset} bytes after its last tensor`);
  return { message, tensors };
}

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new MeshError('MESH_BAD_FRAME', `Expected a JSON header: ${(cause as Error).message}`, { cause });
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw bad('Expected the header to be an object');
  return json as Record<string, unknown>;
}

function parseTensorHeaders(described: unknown): TensorHeader[] {
  if (!Array.isArray(described) || described.length > LIMITS.maxTensors) {
    throw bad(`Expected "tensors" to be a list of at most ${LIMITS.maxTensors}`);
  }
  return described.map((entry: Partial<TensorHeader> | null) => {
    const { name, datatype, shape, bytes } = entry ?? {};
    const isWellFormed =
      typeof name === 'string' &&
      DATATYPES.includes(datatype as Datatype) &&
      Array.isArray(shape) &&
      shape.every((dimension) => Number.isSafeInteger(dimension) && dimension >= 0) &&
      Number.isSafeInteger(bytes) &&
      (bytes as number) >= 0;
    if (!isWellFormed) throw bad('Expected each tensor to have name, datatype, shape and bytes');
    return entry as TensorHeader;
  });
}

function bad(message: string): MeshError {
  return new MeshError('MESH_BAD_FRAME', message);
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}
