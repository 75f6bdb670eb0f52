import type { io } from '@tensorflow/tfjs-core';
import type { ModelFile } from '../engine-messages.ts';
import { copyOf } from './thread-model.ts';

/** The two kinds of tfjs model: a TensorFlow graph, or Keras layers. */
export interface TfjsFiles {
  readonly kind: 'graph' | 'layers';
  readonly artifacts: io.ModelArtifacts;
}

/**
 * What tfjs wants of a loader, from the files in memory: `model.json` first, then its weights by their paths. Throws when the
 * first file is no `model.json` or weights are missing.
 */
export function readTfjsFiles(files: readonly ModelFile[]): TfjsFiles {
  const [entry, ...shards] = files;
  if (entry === undefined) throw new Error('Expected a model.json, the variant has no files');
  const { modelTopology, weightsManifest, signature, format } = parseModel(entry);
  const bytesOf = (path: string): ArrayBuffer => {
    const shard = shards.find((candidate) => candidate.path === path);
    if (shard === undefined) throw new Error(`The weights "${path}" of "${entry.path}" are missing`);
    return copyOf(shard.bytes).buffer;
  };
  return {
    kind: kindOf(modelTopology, format),
    artifacts: {
      modelTopology,
      weightSpecs: weightsManifest.flatMap((group) => group.weights),
      weightData: weightsManifest.flatMap((group) => group.paths).map(bytesOf),
      ...(signature !== undefined && { signature }),
      ...(format !== undefined && { format }),
    },
  };
}

function parseModel({ path, bytes }: ModelFile): io.ModelJSON {
  let model: Partial<io.ModelJSON> | null;
  try {
    model = JSON.parse(new TextDecoder().decode(copyOf(bytes)));
  } catch (cause) {
    throw new Error(`Expected "${path}" to be the JSON of a tfjs model`, { cause });
  }
  if (!isObject(model?.modelTopology) || !Array.isArray(model.weightsManifest)) {
    throw new Error(`Expected "${path}" to have modelTopology and weightsManifest, as a tfjs model.json has`);
  }
  return model as io.ModelJSON;
}

/** Early converters wrote no format: a Keras topology has a configuration where a graph has nodes. */
function kindOf(topology: io.ModelJSON['modelTopology'], format: string | undefined): TfjsFiles['kind'] {
  if (format !== undefined) return format === 'layers-model' ? 'layers' : 'graph';
  return 'model_config' in topology || 'class_name' in topology ? 'layers' : 'graph';
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
