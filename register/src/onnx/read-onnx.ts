import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { LIMITS, MeshError } from '@nearfar/protocol';
import type { SourceFiles } from '../source-files.ts';
import { checkModel } from './check-model.ts';
import { type ExternalPart, externalParts } from './external-data.ts';
import { type ModelProto, ModelProtoSchema, TensorProto_DataLocation } from './generated/onnx_pb.ts';

/** A model as it was read. */
export interface OnnxFile {
  readonly model: ModelProto;
  /** Whether some of its weights came from other files; they are in `model` now. */
  readonly hasExternalData: boolean;
}

/**
 * Reads an ONNX file and the files that it keeps weights in, and checks that it is whole: see `checkModel`.
 *
 * The paths of external data are checked before anything of them is read: they have to stay in the manifest's folder, and the
 * bytes that they name have to be there and to be as many as the tensors need.
 *
 * @throws MeshError `MESH_BAD_MODEL`, naming the file, what was expected and what was found; `MESH_BAD_MANIFEST` from `files`
 *   when the file itself cannot be read.
 */
export async function readOnnx(files: SourceFiles, path: string): Promise<OnnxFile> {
  const sizeBytes = await files.sizeOf(path);
  if (sizeBytes !== undefined && sizeBytes > LIMITS.maxArtifactBytes) {
    throw badModel(path, `expected at most ${LIMITS.maxArtifactBytes} bytes, found ${sizeBytes}`);
  }
  const bytes = await files.read(path);
  const model = parse(bytes, path);
  return await aboutFile(path, async () => {
    const parts = await externalParts(model, files, path, bytes.length);
    await inline(parts, files);
    checkModel(model);
    return { model, hasExternalData: parts.length > 0 };
  });
}

function parse(bytes: Uint8Array, path: string): ModelProto {
  let model: ModelProto;
  try {
    model = fromBinary(ModelProtoSchema, bytes);
  } catch (cause) {
    throw badModel(
      path,
      `expected a whole ONNX file (a protobuf), found ${bytes.length} bytes that are none: it may be cut off`,
      cause,
    );
  }
  // Any bytes of the right form parse, text among them: unknown fields are allowed.
  if (model.graph !== undefined && model.irVersion > 0n) return model;
  const missing = model.graph === undefined ? 'no graph' : 'no IR version';
  throw badModel(
    path,
    `expected an ONNX model with a graph, found ${bytes.length} bytes with ${missing}: the file may be cut off or of another kind`,
  );
}

/** Adds the file's name to what is wrong with it. */
async function aboutFile<Result>(path: string, read: () => Promise<Result>): Promise<Result> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof MeshError) || error.code !== 'MESH_BAD_MODEL') throw error;
    throw badModel(path, error.message, error);
  }
}

function badModel(path: string, problem: string, cause?: unknown): MeshError {
  return new MeshError(
    'MESH_BAD_MODEL',
    `Bad model "${path}": ${problem}`,
    cause === undefined ? {} : { cause },
  );
}

/** Puts the bytes of other files into the tensors; each file is read once. */
async function inline(parts: readonly ExternalPart[], files: SourceFiles): Promise<void> {
  for (const [path, ofFile] of Map.groupBy(parts, (part) => part.path)) {
    const bytes = await files.read(path);
    for (const { tensor, offset, length } of ofFile) {
      if (bytes.length < offset + length) {
        throw new MeshError(
          'MESH_BAD_MODEL',
          `expected "${path}" to have ${offset + length} bytes, found ${bytes.length}: it changed meanwhile`,
        );
      }
      tensor.rawData = bytes.subarray(offset, offset + length);
      tensor.externalData = [];
      tensor.dataLocation = TensorProto_DataLocation.DEFAULT;
    }
  }
}

/**
 * The model as a file; equal models give equal bytes.
 *
 * @throws MeshError `MESH_BAD_MODEL` when that is larger than an artifact may be (protobuf itself ends at 2 GB).
 */
export function encodeOnnx(model: ModelProto): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = toBinary(ModelProtoSchema, model);
  } catch (cause) {
    throw new MeshError('MESH_BAD_MODEL', `Cannot write the model as one file: ${(cause as Error).message}`, {
      cause,
    });
  }
  if (bytes.length <= LIMITS.maxArtifactBytes) return bytes;
  throw new MeshError(
    'MESH_BAD_MODEL',
    `Expected a model of at most ${LIMITS.maxArtifactBytes} bytes in one file, found ${bytes.length}`,
  );
}
