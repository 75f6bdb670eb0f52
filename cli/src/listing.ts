import { measuredBy, paretoTable, taskInfo } from '@nearfar/coordinator';
import { hasRegistry, openStores, readPrices } from '@nearfar/coordinator/node';
import {
  MeshError,
  modelsResponseSchema,
  paretoResponseSchema,
  parseOrThrow,
  type TaskInfo,
} from '@nearfar/protocol';
import { callMesh, type MeshAddress } from './mesh-client.ts';
import type { Pareto } from './variant-table.ts';

/** Tasks, and what their variants are worth on the devices of the mesh. */
export interface Listing {
  readonly tasks: readonly TaskInfo[];
  readonly pareto: Pareto;
}

/** What a mesh serves. */
export async function readMesh(address: MeshAddress): Promise<Listing> {
  const models = await callMesh(address, '/v1/models');
  const tables = await callMesh(address, '/v1/pareto');
  const { tasks } = parseOrThrow(paretoResponseSchema, tables, 'MESH_INTERNAL', 'Pareto table');
  return {
    tasks: parseOrThrow(modelsResponseSchema, models, 'MESH_INTERNAL', 'list of models').models,
    pareto: new Map(tasks.map(({ task, lines }) => [task, lines])),
  };
}

/** The tasks of this name, or all where none is given. @throws MeshError `MESH_UNKNOWN_TASK`. */
export function tasksNamed(name: string | undefined, tasks: readonly TaskInfo[]): readonly TaskInfo[] {
  const found = name === undefined ? tasks : tasks.filter(({ task }) => task === name);
  if (name === undefined || found.length > 0) return found;
  const known = tasks.map(({ task }) => task).join(', ') || 'none';
  throw new MeshError('MESH_UNKNOWN_TASK', `There is no task "${name}"; known: ${known}`);
}

/** What a state folder holds; what things cost is not known where no mesh runs them. */
export async function readState(stateDirectory: string): Promise<Listing> {
  if (!hasRegistry(stateDirectory)) return { tasks: [], pareto: new Map() };
  const { registry, profiles } = openStores(stateDirectory);
  try {
    const records = await registry.list();
    const measured = measuredBy(await profiles.list());
    const prices = await readPrices();
    const lines = records.map(
      ({ active }) => [active.task, paretoTable(active, measured, [], prices, Date.now())] as const,
    );
    return { tasks: records.map(taskInfo), pareto: new Map(lines) };
  } finally {
    await Promise.all([registry.close(), profiles.close()]);
  }
}
