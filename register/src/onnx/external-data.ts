import { posix } from 'node:path';
import { LIMITS, MeshError } from '@nearfar/protocol';
import type { SourceFiles } from '../source-files.ts';
import { type ModelProto, type TensorProto, TensorProto_DataLocation } from './generated/onnx_pb.ts';
import { datatypeName, shapeOf, tensorSizeBytes } from './tensor-data.ts';
import { tensorsOf } from './tensors.ts';

/** Bytes of another file that a tensor consists of. */
export interface ExternalPart {
  readonly tensor: TensorProto;
  /** Relative to the manifest. */
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

/**
 * Where a model's external data are (`onnx.proto`, `TensorProto.external_data`); nothing of them has been read.
 *
 * @throws MeshError `MESH_BAD_MODEL` when a path leaves the manifest's folder, a file is missing or too small, a tensor and its
 *   bytes differ in size, or all of it is more than an artifact may have.
 */
export async function externalParts(
  model: ModelProto,
  files: SourceFiles,
  modelPath: string,
  modelBytes: number,
): Promise<readonly ExternalPart[]> {
  const parts: ExternalPart[] = [];
  let totalBytes = modelBytes;
  for (const { tensor, label } of tensorsOf(model)) {
    if (tensor.dataLocation !== TensorProto_DataLocation.EXTERNAL) continue;
    const entries = new Map(tensor.externalData.map(({ key, value }) => [key, value]));
    const path = pathInside(posix.dirname(modelPath), entries.get('location'), label);
    const expected = neededBytes(tensor, label);
    const offset = wholeNumber(entries.get('offset') ?? '0', 'offset', label);
    const length = wholeNumber(entries.get('length') ?? `${expected}`, 'length', label);
    if (length !== expected) {
      throw bad(
        `${label}: expected ${expected} bytes for ${datatypeName(tensor.dataType)} [${shapeOf(tensor)}], found a reference to ${length} in "${path}"`,
      );
    }
    parts.push({ tensor, path, offset, length });
    totalBytes += length;
  }
  if (totalBytes > LIMITS.maxArtifactBytes) throw tooLarge(totalBytes);
  await checkFiles(parts, files);
  return parts;
}

/** The files are there, none is too large to be read, and they reach as far as the tensors do. */
async function checkFiles(parts: readonly ExternalPart[], files: SourceFiles): Promise<void> {
  let totalBytes = 0;
  for (const [path, ofFile] of Map.groupBy(parts, (part) => part.path)) {
    const sizeBytes = await files.sizeOf(path);
    if (sizeBytes === undefined) {
      throw bad(
        `expected a file "${path}" with the data of ${ofFile.length} tensors, found none; keep it beside the model`,
      );
    }
    totalBytes += sizeBytes;
    const end = ofFile.reduce((most, { offset, length }) => Math.max(most, offset + length), 0);
    if (sizeBytes < end)
      throw bad(`expected "${path}" to have ${end} bytes or more, found ${sizeBytes}: it may be cut off`);
  }
  if (totalBytes > LIMITS.maxArtifactBytes) throw tooLarge(totalBytes);
}

/** The path relative to the manifest, from its text alone: no file is looked at. */
function pathInside(folder: string, location: string | undefined, label: string): string {
  if (location === undefined || location === '')
    throw bad(`${label}: expected external data with a "location", found none`);
  const path = posix.join(folder, location);
  const isForeign =
    posix.isAbsolute(location) ||
    location.includes('\\') ||
    location.includes('\0') ||
    /^[a-z]:/i.test(location);
  if (isForeign || path === '.' || path === '..' || path.startsWith('../') || posix.isAbsolute(path)) {
    throw bad(
      `${label}: expected external data inside the manifest's folder, found "${location}", which leaves it; copy the file beside the model and save the model with its relative path`,
    );
  }
  return path;
}

function neededBytes(tensor: TensorProto, label: string): number {
  const needed = tensorSizeBytes(tensor);
  if (needed !== undefined) return needed;
  throw bad(
    `${label}: expected external data of a kind with a fixed size, found ${datatypeName(tensor.dataType)}`,
  );
}

function wholeNumber(text: string, key: string, label: string): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw bad(
    `${label}: expected "${key}" of its external data to be a whole number of bytes, found "${text.slice(0, 40)}"`,
  );
}

function tooLarge(bytes: number): MeshError {
  return bad(`expected at most ${LIMITS.maxArtifactBytes} bytes with all external data, found ${bytes}`);
}

function bad(problem: string): MeshError {
  return new MeshError('MESH_BAD_MODEL', problem);
}
