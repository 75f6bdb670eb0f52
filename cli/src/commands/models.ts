import { hasRegistry } from '@nearfar/coordinator/node';
import { MeshError, type TaskInfo } from '@nearfar/protocol';
import { type Listing, readMesh, readState, tasksNamed } from '../listing.ts';
import type { MeshAddress } from '../mesh-client.ts';
import { formatVariants, type Pareto, sizeBytes } from '../variant-table.ts';

interface ModelsOptions extends MeshAddress {
  readonly local?: boolean;
  readonly json?: boolean;
}

/** `nearfar models`: lists what the mesh serves, or what the local store holds when no mesh answers. */
export async function models(task: string | undefined, options: ModelsOptions): Promise<void> {
  const { tasks: all, pareto } = await readListing(options);
  const tasks = tasksNamed(task, all);
  if (options.json) {
    process.stdout.write(`${JSON.stringify(tasks.map((entry) => forJson(entry, pareto)))}\n`);
    return;
  }
  process.stdout.write(`${formatVariants(tasks, pareto)}\n`);
}

/** What the mesh says or, where none answers, what the state folder holds. */
async function readListing(options: ModelsOptions): Promise<Listing> {
  if (options.local) return await readState(options.state);
  try {
    return await readMesh(options);
  } catch (error) {
    if (!(error instanceof MeshError) || error.code !== 'MESH_NETWORK' || !hasRegistry(options.state))
      throw error;
    process.stderr.write(`No mesh answers at ${options.url}; reading ${options.state}\n`);
    return await readState(options.state);
  }
}

function forJson(entry: TaskInfo, pareto: Pareto) {
  const lines = pareto.get(entry.task) ?? [];
  return {
    task: entry.task,
    revision: entry.revision,
    ...(entry.rollout !== undefined && { rollout: entry.rollout }),
    ...(entry.previousRevision !== undefined && { previousRevision: entry.previousRevision }),
    rejected: entry.rejected,
    variants: entry.variants.map((variant) => ({
      variant: variant.variant,
      model: variant.model,
      revision: variant.revision,
      format: variant.format,
      precision: variant.precision,
      tiers: variant.tiers,
      accuracy: variant.accuracy.value,
      accuracySource: variant.accuracy.source,
      accuracyDetails: variant.accuracy,
      origin: variant.origin,
      ...(variant.cascade !== undefined && { cascade: variant.cascade }),
      sizeBytes: sizeBytes(variant),
      profiles: lines.find((line) => line.variant === variant.variant)?.cells ?? [],
    })),
  };
}
