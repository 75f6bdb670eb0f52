import { rolledBackOffline } from '@nearfar/coordinator';
import { openStores } from '@nearfar/coordinator/node';
import type { RegistryStore, TaskRecord } from '@nearfar/core';
import { modelsResponseSchema, parseOrThrow, type TaskInfo, taskInfoSchema } from '@nearfar/protocol';
import { usageError } from '../exit-error.ts';
import { readMesh, readState, tasksNamed } from '../listing.ts';
import { callMesh, type MeshAddress } from '../mesh-client.ts';
import { formatVariants } from '../variant-table.ts';

interface RevisionOptions extends MeshAddress {
  readonly json?: boolean;
  /** Work on the state folder. */
  readonly local?: boolean;
}

/** `nearfar promote` and `nearfar rollback`: moves a task's traffic to another revision. */
export async function moveTraffic(
  move: 'promote' | 'rollback',
  task: string,
  options: RevisionOptions,
): Promise<void> {
  if (options.local) return await moveLocally(move, task, options);
  const answer = await callMesh(options, `/v1/models/${encodeURIComponent(task)}/${move}`, {
    method: 'POST',
  });
  const info = parseOrThrow(taskInfoSchema, answer, 'MESH_INTERNAL', 'task');
  const text = options.json ? JSON.stringify(info) : formatVariants([info], (await readMesh(options)).pareto);
  process.stdout.write(`${text}\n`);
}

/** `nearfar delete`: forgets a task, unless somebody is using it. */
export async function deleteTask(
  task: string,
  options: RevisionOptions & { readonly force?: boolean },
): Promise<void> {
  if (options.local) {
    await withRecord(task, options, (registry) => registry.delete(task));
    printDeleted(task, (await readState(options.state)).tasks, options);
    return;
  }
  const query = options.force ? '?force=true' : '';
  await callMesh(options, `/v1/models/${encodeURIComponent(task)}${query}`, { method: 'DELETE' });
  const left = parseOrThrow(
    modelsResponseSchema,
    await callMesh(options, '/v1/models'),
    'MESH_INTERNAL',
    'models',
  );
  printDeleted(task, left.models, options);
}

/** Does to a state folder what the mesh would do; nothing has to become warm first. */
async function moveLocally(
  move: 'promote' | 'rollback',
  task: string,
  options: RevisionOptions,
): Promise<void> {
  if (move === 'promote') throw usageError('without a mesh the newest revision is the active one already');
  await withRecord(task, options, (registry, record) => registry.put(rolledBackOffline(record)));
  const { tasks, pareto } = await readState(options.state);
  const [info] = tasksNamed(task, tasks);
  process.stdout.write(
    `${options.json ? JSON.stringify(info) : formatVariants(tasksNamed(task, tasks), pareto)}\n`,
  );
}

async function withRecord(
  task: string,
  { state }: RevisionOptions,
  change: (registry: RegistryStore, record: TaskRecord) => Promise<void>,
): Promise<void> {
  tasksNamed(task, (await readState(state)).tasks);
  const { registry, profiles } = openStores(state);
  try {
    const record = (await registry.list()).find(({ active }) => active.task === task);
    if (record !== undefined) await change(registry, record);
  } finally {
    await Promise.all([registry.close(), profiles.close()]);
  }
}

function printDeleted(task: string, left: readonly TaskInfo[], { json }: RevisionOptions): void {
  const names = left.map((entry) => entry.task);
  const text = json
    ? JSON.stringify({ deleted: task, left: names })
    : `deleted ${task}; left: ${names.join(', ') || 'none'}`;
  process.stdout.write(`${text}\n`);
}
