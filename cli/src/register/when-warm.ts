import { setTimeout as sleep } from 'node:timers/promises';
import { parseOrThrow, replicaSchema, type TaskInfo } from '@nearfar/protocol';
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

/** Waits until workers hold the new revision and have measured it, and gives the task as it is then. */
export async function whenWarm(
  address: MeshAddress,
  { task }: TaskInfo,
  reporter: Reporter,
): Promise<Listing> {
  const giveUpAt = performance.now() + WAIT_AT_MOST_MS;
  for (;;) {
    const { tasks, pareto } = await readMesh(address);
    const info = tasks.find((entry) => entry.task === task);
    const { workers } = parseOrThrow(
      workersSchema,
      await callMesh(address, '/v1/workers'),
      'MESH_INTERNAL',
      'list of workers',
    );
    const active = workers.filter(({ state }) => state === 'active');
    const wanted = active.length * (info?.variants.filter(({ format }) => format !== 'cascade').length ?? 0);
    const settled = active
      .flatMap(({ replicas }) => replicas)
      .filter(({ state }) => state !== 'loading')
      .filter((replica) =>
        info?.variants.some(
          ({ variant, revision }) =>
            replica.task === task && replica.variant === variant && replica.revision === revision,
        ),
      ).length;
    const isWarm = info?.rollout?.state !== 'warming' && settled >= wanted;
    if (isWarm || performance.now() > giveUpAt) {
      if (!isWarm) reporter.note('Workers are still loading; "nearfar models" shows how far they are');
      return { tasks: info === undefined ? [] : [info], pareto };
    }
    reporter.progress(`warm up ${task}`, settled, Math.max(1, wanted));
    await sleep(ASK_EVERY_MS);
  }
}
