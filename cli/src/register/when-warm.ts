import { setTimeout as sleep } from 'node:timers/promises';
import { MeshError, parseOrThrow, replicaSchema, type TaskInfo } from '@nearfar/protocol';
import * as v from 'valibot';
import { type Listing, readMesh } from '../listing.ts';
import { callMesh, type MeshAddress } from '../mesh-client.ts';
import type { Reporter } from './report.ts';

const ASK_EVERY_MS = 500;
/** Workers that take longer go on by themselves. */
const WAIT_AT_MOST_MS = 5 * 60_000;

/** What matters here of `GET /v1/workers`. */
const workersSchema = v.object({
  workers: v.array(v.object({ state: v.string(), replicas: v.array(replicaSchema) })),
});
type Workers = v.InferOutput<typeof workersSchema>['workers'];

/**
 * Waits until workers hold the new revision and have measured it, and gives the task as it is then.
 *
 * @throws MeshError `MESH_UNKNOWN_TASK` when somebody deletes it meanwhile.
 */
export async function whenWarm(
  address: MeshAddress,
  { task }: TaskInfo,
  reporter: Reporter,
): Promise<Listing> {
  const giveUpAt = performance.now() + WAIT_AT_MOST_MS;
  for (;;) {
    const { tasks, pareto } = await readMesh(address);
    const info = tasks.find((entry) => entry.task === task);
    if (info === undefined) {
      throw new MeshError('MESH_UNKNOWN_TASK', `Task "${task}" was registered, and was deleted since`);
    }
    const { workers } = parseOrThrow(
      workersSchema,
      await callMesh(address, '/v1/workers'),
      'MESH_INTERNAL',
      'list of workers',
    );
    const { loaded, wanted } = warmth(info, workers);
    const isWarm = info.rollout?.state !== 'warming' && loaded >= wanted;
    if (isWarm || performance.now() > giveUpAt) {
      if (!isWarm) reporter.note('Workers are still loading; "nearfar models" shows how far they are');
      return { tasks: [info], pareto };
    }
    reporter.progress(`warm up ${task}`, loaded, wanted);
    await sleep(ASK_EVERY_MS);
  }
}

/**
 * How many replicas of a task workers should come to hold, and how many they hold, or failed to. A worker shows all that it
 * was given as soon as it was; one that shows nothing yet counts with one replica. Some run ONNX only (GPU workers): what
 * they were not given is not waited for, and of a task without ONNX nothing is.
 */
export function warmth(
  { task, variants }: Pick<TaskInfo, 'task' | 'variants'>,
  workers: Workers,
): { readonly loaded: number; readonly wanted: number } {
  const least = variants.some(({ format }) => format === 'onnx') ? 1 : 0;
  let [loaded, wanted] = [0, 0];
  for (const worker of workers) {
    if (worker.state !== 'active') continue;
    const own = worker.replicas.filter((replica) =>
      variants.some(
        ({ variant, revision }) =>
          replica.task === task && replica.variant === variant && replica.revision === revision,
      ),
    );
    loaded += own.filter(({ state }) => state !== 'loading').length;
    wanted += Math.max(least, own.length);
  }
  return { loaded, wanted };
}
