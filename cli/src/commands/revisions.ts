import { modelsResponseSchema, parseOrThrow, taskInfoSchema } from '@nearfar/protocol';
import { readMesh } from '../listing.ts';
import { callMesh, type MeshAddress } from '../mesh-client.ts';
import { formatVariants } from '../variant-table.ts';

interface RevisionOptions extends MeshAddress {
  readonly json?: boolean;
}

/** `nearfar promote` and `nearfar rollback`: moves a task's traffic to another revision. */
export async function moveTraffic(
  move: 'promote' | 'rollback',
  task: string,
  options: RevisionOptions,
): Promise<void> {
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
  const query = options.force ? '?force=true' : '';
  await callMesh(options, `/v1/models/${encodeURIComponent(task)}${query}`, { method: 'DELETE' });
  const left = parseOrThrow(
    modelsResponseSchema,
    await callMesh(options, '/v1/models'),
    'MESH_INTERNAL',
    'models',
  );
  const names = left.models.map((entry) => entry.task);
  const text = options.json
    ? JSON.stringify({ deleted: task, left: names })
    : `deleted ${task}; left: ${names.join(', ') || 'none'}`;
  process.stdout.write(`${text}\n`);
}
