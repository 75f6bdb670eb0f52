import { MeshError } from '@nearfar/protocol';
import { Hono } from 'hono';
import type { AppEnvironment, Context } from '../context.ts';
import { MAX_DECISIONS } from '../decisions.ts';
import { gate } from './gate.ts';

const DEFAULT_DECISIONS = 50;

/** What the console reads: workers, profiles and decisions. */
export function adminRoutes(context: Context): Hono<AppEnvironment> {
  const client = gate(context, 'client');
  const { fleet, book, pageBook, decisions, options } = context;
  return new Hono<AppEnvironment>()
    .get('/v1/workers', client, (http) =>
      http.json({
        workers: fleet.list().map((worker) => ({
          workerId: worker.id,
          tier: worker.hello.tier,
          device: worker.hello.device,
          slots: worker.hello.slots,
          connectedAt: worker.connectedAt,
          load: worker.load.load,
          inFlight: worker.inFlight,
          credits: worker.credits,
          replicas: worker.replicas(),
          state: worker.state,
        })),
      }),
    )
    .get('/v1/profiles', client, (http) =>
      http.json({
        profiles: [...book.view(options.clock.wallTime()), ...pageBook.view(options.clock.wallTime())],
      }),
    )
    .get('/v1/decisions', client, (http) =>
      http.json({ decisions: decisions.latest(limitOf(http.req.query('limit')), http.get('claims')) }),
    )
    .get('/v1/decisions/:id', client, (http) =>
      http.json(decisions.get(http.req.param('id'), http.get('claims'))),
    );
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return DEFAULT_DECISIONS;
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= MAX_DECISIONS) return limit;
  throw new MeshError(
    'MESH_BAD_PARAMETER',
    `Expected "limit" to be a whole number from 1 to ${MAX_DECISIONS}, got "${text.slice(0, 32)}"`,
  );
}
