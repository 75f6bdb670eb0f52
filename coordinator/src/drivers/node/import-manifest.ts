import { readFile } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import type { ArtifactStore, RegisteredTask } from '@nearfar/core';
import {
  type Artifact,
  goldenFileSchema,
  type Manifest,
  MeshError,
  manifestSchema,
  parseOrThrow,
  type TensorSignature,
  type VariantSpec,
} from '@nearfar/protocol';

/** Largest difference from the golden outputs that passes the self-test: float32 sums in another order. */
const TOLERANCE = 1e-3;

/**
 * Reads a manifest and its files into `artifacts` and gives the task as it is to be registered. A variant whose files
 * are those of its entry in `known` keeps its revision; one with other files gets the next.
 *
 * @throws MeshError `MESH_BAD_MANIFEST`, naming the file and the field.
 */
export async function readManifest(
  path: string,
  artifacts: ArtifactStore,
  known: readonly RegisteredTask[],
): Promise<RegisteredTask> {
  const folder = dirname(resolve(path));
  const manifest = parseOrThrow(
    manifestSchema,
    await readJson(path),
    'MESH_BAD_MANIFEST',
    `manifest ${path}`,
  );
  const registered = known.find((entry) => entry.task === manifest.task);
  const golden =
    manifest.golden === undefined ? undefined : await readGolden(folder, manifest.golden, artifacts);
  const signatures = signaturesOf(manifest, path);
  const variants: VariantSpec[] = [];
  for (const model of manifest.models) {
    const files = await readModel(folder, model, artifacts);
    const variant = `${model.name}-fp32-${model.format}`;
    const former = registered?.variants.find((entry) => entry.variant === variant);
    variants.push({
      task: manifest.task,
      variant,
      revision: former === undefined ? 1 : former.revision + (isSame(former.artifacts, files) ? 0 : 1),
      model: model.name,
      precision: 'fp32',
      format: model.format,
      accuracy: { value: model.accuracy ?? 0, source: 'declared', sampleSize: 0 },
      ...signatures,
      artifacts: files,
      ...(golden !== undefined && { golden }),
      tolerance: TOLERANCE,
      isBatchable: true,
    });
  }
  const { task, kind, labels = [], preprocess, postprocess, defaults = {} } = manifest;
  return {
    task,
    kind,
    labels,
    ...(preprocess !== undefined && { preprocess }),
    ...(postprocess !== undefined && { postprocess }),
    defaults,
    variants,
  };
}

/** The inputs and outputs that pre- and postprocessing imply. */
function signaturesOf(
  { preprocess, postprocess, labels }: Manifest,
  path: string,
): {
  inputs: TensorSignature[] & VariantSpec['inputs'];
  outputs: TensorSignature[] & VariantSpec['outputs'];
} {
  if (preprocess === undefined || postprocess === undefined || labels === undefined) {
    throw new MeshError(
      'MESH_BAD_MANIFEST',
      `Expected manifest ${path} to have preprocess, postprocess and labels: the signatures follow from them`,
    );
  }
  const { input, width, height, layout } = preprocess;
  const channels = preprocess.channels === 'rgb' ? 3 : 1;
  const shape = layout === 'NCHW' ? [-1, channels, height, width] : [-1, height, width, channels];
  return {
    inputs: [{ name: input, datatype: 'FP32', shape }],
    outputs: [{ name: postprocess.output, datatype: 'FP32', shape: [-1, labels.length] }],
  };
}

async function readModel(
  folder: string,
  model: Manifest['models'][number],
  artifacts: ArtifactStore,
): Promise<Artifact[]> {
  const entry = await store(folder, model.path, artifacts);
  if (model.format === 'onnx') return [entry];
  const shards = weightShards(await readJson(join(folder, model.path)), model.path);
  const home = dirname(model.path);
  const files = [entry];
  for (const shard of shards) files.push(await store(folder, join(home, shard), artifacts, shard));
  return files;
}

/** The weight files that a tfjs `model.json` lists. */
function weightShards(json: unknown, path: string): string[] {
  const manifest = (json as { weightsManifest?: unknown } | null)?.weightsManifest;
  const groups = Array.isArray(manifest) ? (manifest as { paths?: unknown }[]) : [];
  const paths = groups.flatMap((group) => (Array.isArray(group?.paths) ? (group.paths as unknown[]) : []));
  if (paths.length === 0 || !paths.every((entry) => typeof entry === 'string')) {
    throw new MeshError(
      'MESH_BAD_MANIFEST',
      `Expected ${path} to list its weight files in "weightsManifest"`,
    );
  }
  return paths;
}

async function readGolden(folder: string, path: string, artifacts: ArtifactStore): Promise<Artifact> {
  parseOrThrow(
    goldenFileSchema,
    await readJson(join(folder, path)),
    'MESH_BAD_MANIFEST',
    `golden file ${path}`,
  );
  return store(folder, path, artifacts);
}

async function store(folder: string, path: string, artifacts: ArtifactStore, name = path): Promise<Artifact> {
  const file = resolve(folder, path);
  if (!file.startsWith(folder + sep)) {
    throw new MeshError('MESH_BAD_MANIFEST', `Expected "${path}" to lie in the manifest's folder`);
  }
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new MeshError('MESH_BAD_MANIFEST', `Cannot read "${file}": ${(cause as Error).message}`, { cause });
  });
  const { sha256, sizeBytes } = await artifacts.write(bytes);
  return { path: name.split('/').at(-1) ?? name, sha256, sizeBytes };
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw new MeshError('MESH_BAD_MANIFEST', `Cannot read "${path}": ${(cause as Error).message}`, { cause });
  }
}

function isSame(a: readonly Artifact[], b: readonly Artifact[]): boolean {
  return a.length === b.length && a.every((entry, index) => entry.sha256 === b[index]?.sha256);
}
