import { taskInfo } from '@nearfar/coordinator';
import { openRegistry } from '@nearfar/coordinator/node';
import {
  MeshError,
  modelsResponseSchema,
  parseOrThrow,
  type TaskInfo,
  type VariantSpec,
} from '@nearfar/protocol';
import { hasSecret } from '../local-secret.ts';
import { callMesh, type MeshAddress } from '../mesh-client.ts';
import { formatTable } from '../table.ts';

interface ModelsOptions extends MeshAddress {
  readonly json?: boolean;
}

/** `nearfar models`: lists what the mesh serves, or what the local store holds when no mesh answers. */
export async function models(task: string | undefined, options: ModelsOptions): Promise<void> {
  const all = await listTasks(options);
  const tasks = task === undefined ? all : all.filter((entry) => entry.task === task);
  if (task !== undefined && tasks.length === 0) {
    const known = all.map((entry) => entry.task).join(', ') || 'none';
    throw new MeshError('MESH_UNKNOWN_TASK', `There is no task "${task}"; known: ${known}`);
  }
  if (options.json) {
    process.stdout.write(`${JSON.stringify(tasks.map(forJson))}\n`);
    return;
  }
  const rows = tasks.flatMap((entry) =>
    entry.variants.map((variant) => [
      entry.task,
      variant.variant,
      variant.revision,
      `${(variant.accuracy.value * 100).toFixed(2)} % (${variant.accuracy.source})`,
      Math.round(sizeBytes(variant) / 1024),
      variant.tiers.join(', ') || 'none',
    ]),
  );
  process.stdout.write(`${formatTable(['task', 'variant', 'revision', 'accuracy', 'KiB', 'tiers'], rows)}\n`);
}

async function listTasks(options: ModelsOptions): Promise<TaskInfo[]> {
  try {
    return parseOrThrow(
      modelsResponseSchema,
      await callMesh(options, '/v1/models'),
      'MESH_INTERNAL',
      'list of models',
    ).models;
  } catch (error) {
    if (!(error instanceof MeshError) || error.code !== 'MESH_NETWORK' || !hasSecret(options.state))
      throw error;
    process.stderr.write(`No mesh answers at ${options.url}; reading ${options.state}\n`);
    const registry = openRegistry(options.state);
    const tasks = await registry.list();
    await registry.close();
    return tasks.map(taskInfo);
  }
}

function forJson(entry: TaskInfo) {
  return {
    task: entry.task,
    variants: entry.variants.map((variant) => ({
      variant: variant.variant,
      model: variant.model,
      revision: variant.revision,
      format: variant.format,
      precision: variant.precision,
      tiers: variant.tiers,
      accuracy: variant.accuracy.value,
      accuracySource: variant.accuracy.source,
      sizeBytes: sizeBytes(variant),
    })),
  };
}

function sizeBytes(variant: VariantSpec): number {
  return variant.artifacts.reduce((sum, artifact) => sum + artifact.sizeBytes, 0);
}
