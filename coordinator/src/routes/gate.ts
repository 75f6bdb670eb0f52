import { MeshError } from '@nearfar/protocol';
import type { Context as HttpContext, MiddlewareHandler } from 'hono';
import { ANONYMOUS, type Role, requireRole } from '../auth.ts';
import type { AppEnvironment, Context } from '../context.ts';
import type { Target } from '../steps/admit.ts';

/** Lets pass who shows a token with at least `role`, everyone where the mesh asks for none, and each not too often. */
export function gate(context: Context, role: Role): MiddlewareHandler<AppEnvironment> {
  const isAuthRequired = context.options.isAuthRequired ?? true;
  return async (http, next) => {
    const claims = isAuthRequired ? await context.gate.identify(http.req.header('authorization')) : ANONYMOUS;
    requireRole(claims, role);
    if (!isAuthRequired && role === 'admin') checkOrigin(http, context.options.allowedOrigins ?? []);
    const waitMs = context.rates.take(claims.subject, context.options.clock.now());
    if (waitMs > 0) throw rateLimited(claims.subject, waitMs);
    http.set('claims', claims);
    await next();
  };
}

/** Hosts that no name server decides on: addresses, and this very machine. */
const FIXED_HOST = /^(localhost|.+\.localhost|[\d.]+|\[[\da-f:.]+\])$/;

/**
 * Where callers need no token, a page that the operator happens to visit could send its requests here: browsers name its
 * origin, which has to be ours or an allowed one for whatever changes the mesh. A page whose own name was pointed at us in
 * the meantime (DNS rebinding) looks like ours, so a name counts only where it is allowed.
 */
function checkOrigin(http: HttpContext<AppEnvironment>, allowed: readonly string[]): void {
  const origin = http.req.header('origin');
  const own = new URL(http.req.url);
  if (origin === undefined || allowed.includes(origin)) return;
  if (own.origin === origin && FIXED_HOST.test(own.hostname)) return;
  throw new MeshError(
    'MESH_FORBIDDEN',
    `Pages of "${origin.slice(0, 128)}" may not change this mesh; those of an allowed origin may`,
  );
}

function rateLimited(subject: string, waitMs: number): MeshError {
  return new MeshError('MESH_RATE_LIMITED', `"${subject.slice(0, 128)}" calls more often than it may`, {
    details: { retry_after_ms: Math.ceil(waitMs) },
    retryAfterSeconds: Math.ceil(waitMs / 1_000),
  });
}

/** Runs `use` while the target's revision counts as having a request under way, so that it is not let go of. */
export async function whileUsing<Value>(
  { usage }: Context,
  { task }: Target,
  use: () => Promise<Value>,
): Promise<Value> {
  const leave = usage.enter(task);
  try {
    return await use();
  } finally {
    leave();
  }
}

/** The ids and the clock of a request that enters the path. */
export function entry(http: HttpContext<AppEnvironment>) {
  return {
    requestId: crypto.randomUUID(),
    decisionId: crypto.randomUUID(),
    arrivedAt: http.get('arrivedAt'),
    subject: http.get('claims').subject,
    signal: http.req.raw.signal,
  };
}
