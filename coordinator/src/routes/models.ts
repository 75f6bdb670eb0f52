import { MeshError } from '@nearfar/protocol';
import { Hono } from 'hono';
import type { AppEnvironment, Context } from '../context.ts';
import { liveInfo } from '../rollout/live-info.ts';
import { gate } from './gate.ts';
import { register } from './registration-stream.ts';

/** A task that gave an answer within this many milliseconds is in use. */
const IN_USE_MS = 60_000;

/** `/v1/models`: what there is to ask for, and how an operator registers, moves and deletes it. */
export function modelRoutes(context: Context): Hono<AppEnvironment> {
  const { catalog, rollouts, registrations } = context;
  const admin = gate(context, 'admin');
  return new Hono<AppEnvironment>()
    .get('/v1/models', gate(context, 'client'), (http) =>
      http.json({ models: catalog.records().map((record) => liveInfo(context, record)) }),
    )
    .post('/v1/models', admin, (http) => register(context, http))
    .post('/v1/models/:task/promote', admin, async (http) =>
      http.json(liveInfo(context, await rollouts.promote(http.req.param('task')))),
    )
    .post('/v1/models/:task/rollback', admin, async (http) =>
      http.json(liveInfo(context, await rollouts.rollback(http.req.param('task')))),
    )
    .delete('/v1/models/:task', admin, async (http) => {
      const task = http.req.param('task');
      const isForced = readForce(http.req.query('force'));
      await rollouts.remove(task, () => {
        registrations.checkIdle(task);
        if (!isForced) checkUnused(context, task);
      });
      return http.json({ deleted: task });
    });
}

function checkUnused({ usage, options }: Context, task: string): void {
  const inFlight = usage.inFlight(task);
  const answeredAt = usage.lastAnsweredAt(task);
  const idleMs = answeredAt === undefined ? Number.POSITIVE_INFINITY : options.clock.now() - answeredAt;
  if (inFlight === 0 && idleMs >= IN_USE_MS) return;
  const why =
    inFlight > 0
      ? `${inFlight} requests are under way`
      : `it answered ${Math.round(idleMs / 1_000)} s ago, and counts as in use for ${IN_USE_MS / 1_000} s`;
  throw new MeshError(
    'MESH_MODEL_IN_USE',
    `Task "${task}" is in use: ${why}. Add force=true to delete it anyway`,
    {
      details: { in_flight: inFlight },
      retryAfterSeconds: Math.ceil((inFlight > 0 ? IN_USE_MS : IN_USE_MS - idleMs) / 1_000),
    },
  );
}

function readForce(text: string | undefined): boolean {
  if (text === undefined || text === 'false') return false;
  if (text === 'true') return true;
  throw new MeshError(
    'MESH_BAD_PARAMETER',
    `Expected "force" to be true or false, got "${text.slice(0, 32)}"`,
  );
}
