import { MeshError } from '@nearfar/protocol';
import type { io } from '@tensorflow/tfjs-core';
import type { ModelFiles } from './messages.ts';

/** The two kinds of tfjs model: a TensorFlow graph, or Keras layers. */
export interface TfjsFiles {
  readonly kind: 'graph' | 'layers';
  readonly artifacts: io.ModelArtifacts;
}

/**
 * What tfjs wants of a loader, from the files in memory: `model.json` first, then its weights by their paths. Quantised
 * weights stay as they are, since tfjs decodes them itself.
 *
 * @throws MeshError `MESH_VARIANT_FAILED` when the entry file is no `model.json` or weights are missing.
 */
export function readTfjsFiles({ files }: Pick<ModelFiles, 'files'>): TfjsFiles {
  const [entry, ...shards] = files;
  if (entry === undefined) throw new MeshError('MESH_VARIANT_FAILED', 'The variant has no files');
  const { modelTopology, weightsManifest, signature, format } = parseModel(entry.path, entry.bytes);
  const named = new Map(shards.map(({ path, bytes }) => [path, bytes]));
  return {
    kind: kindOf(modelTopology, format),
    artifacts: {
      modelTopology,
      weightSpecs: weightsManifest.flatMap((group) => group.weights),
      weightData: weightsManifest.flatMap((group) => group.paths).map((path) => bytesOf(named, path)),
      ...(signature !== undefined && { signature }),
      ...(format !== undefined && { format }),
    },
  };
}

function parseModel(path: string, bytes: Uint8Array): io.ModelJSON {
  let model: Partial<io.ModelJSON> | null;
  try {
    model = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new MeshError('MESH_VARIANT_FAILED', `Expected "${path}" to be the JSON of a tfjs model`, {
      cause,
    });
  }
  if (!isObject(model?.modelTopology) || !Array.isArray(model.weightsManifest)) {
    throw new MeshError(
      'MESH_VARIANT_FAILED',
      `Expected "${path}" to have modelTopology and weightsManifest, as a tfjs model.json has`,
    );
  }
  return model as io.ModelJSON;
}

/** Early converters wrote no format: a Keras topology has a configuration where a graph has nodes. */
function kindOf(topology: io.ModelJSON['modelTopology'], format: string | undefined): TfjsFiles['kind'] {
  if (format !== undefined) return format === 'layers-model' ? 'layers' : 'graph';
  return 'model_config' in topology || 'class_name' in topology ? 'layers' : 'graph';
}

function bytesOf(files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>, path: string): ArrayBuffer {
  const bytes = files.get(path);
  if (bytes === undefined)
    throw new MeshError('MESH_VARIANT_FAILED', `The weights "${path}" of model.json are missing`);
  const { buffer, byteOffset, byteLength } = bytes;
  return byteLength === buffer.byteLength ? buffer : buffer.slice(byteOffset, byteOffset + byteLength);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
