import { posix } from 'node:path';
import { type Manifest, MeshError } from '@nearfar/protocol';
import type { ModelProto } from './onnx/generated/onnx_pb.ts';
import { encodeOnnx, readOnnx } from './onnx/read-onnx.ts';
import type { SourceFiles } from './source-files.ts';

/** A file of a variant: the first one of a variant is its entry file. */
export interface VariantFile {
  /** Name inside the variant; the files of a tfjs model refer to each other by it. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** A model as the manifest brings it. */
export interface SuppliedModel {
  /** Variant id. */
  readonly variant: string;
  readonly model: string;
  readonly precision: Manifest['models'][number]['precision'];
  readonly format: 'onnx' | 'tfjs';
  /** Accuracy that the manifest declares, 0 to 1. */
  readonly declaredAccuracy: number | undefined;
  readonly files: readonly VariantFile[];
  /** The parsed graph of an ONNX model. */
  readonly graph: ModelProto | undefined;
}

/** Reads every model of a manifest; an ONNX model with external data becomes one file. */
export async function readModels(
  manifest: Pick<Manifest, 'models'>,
  files: SourceFiles,
): Promise<SuppliedModel[]> {
  const models: SuppliedModel[] = [];
  for (const model of manifest.models) {
    const { name, precision, format, accuracy } = model;
    const contents =
      format === 'onnx' ? await onnxFiles(model.path, files) : await tfjsFiles(model.path, files);
    models.push({
      variant: `${name}-${precision}-${format}`,
      model: name,
      precision,
      format,
      declaredAccuracy: accuracy,
      ...contents,
    });
  }
  return models;
}

async function onnxFiles(path: string, files: SourceFiles) {
  const { model: graph, hasExternalData } = await readOnnx(files, path);
  const bytes = hasExternalData ? encodeOnnx(graph) : await files.read(path);
  return { files: [{ path: posix.basename(path), bytes }], graph };
}

async function tfjsFiles(path: string, files: SourceFiles) {
  const entry = await files.read(path);
  const shards: VariantFile[] = [];
  for (const shard of weightShards(entry, path)) {
    shards.push({ path: shard, bytes: await files.read(posix.join(posix.dirname(path), shard)) });
  }
  return { files: [{ path: posix.basename(path), bytes: entry }, ...shards], graph: undefined };
}

/** The weight files that a tfjs `model.json` lists. */
function weightShards(entry: Uint8Array, path: string): string[] {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(entry));
  } catch (cause) {
    throw new MeshError('MESH_BAD_MODEL', `Expected "${path}" to hold JSON, as tfjs saves its models`, {
      cause,
    });
  }
  const { modelTopology, weightsManifest } = (json ?? {}) as Record<string, unknown>;
  if (typeof modelTopology !== 'object' || modelTopology === null) {
    throw new MeshError('MESH_BAD_MODEL', `Expected "${path}" to have "modelTopology": it is no tfjs model`);
  }
  const groups = Array.isArray(weightsManifest) ? (weightsManifest as { paths?: unknown }[]) : [];
  const paths = groups.flatMap((group) => (Array.isArray(group?.paths) ? (group.paths as unknown[]) : []));
  if (paths.length === 0 || !paths.every((shard) => typeof shard === 'string')) {
    throw new MeshError('MESH_BAD_MODEL', `Expected "${path}" to list its weight files in "weightsManifest"`);
  }
  return paths;
}
