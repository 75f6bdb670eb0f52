import { MeshError } from '@nearfar/protocol';
import type { Context as HttpContext, MiddlewareHandler } from 'hono';
import { ANONYMOUS, type Role, requireRole } from '../auth.ts';
import type { AppEnvironment, Context } from '../context.ts';

/** Lets pass who shows a token with at least `role`, everyone where the mesh asks for none, and each not too often. */
export function gate(context: Context, role: Role): MiddlewareHandler<AppEnvironment> {
  const isAuthRequired = context.options.isAuthRequired ?? true;
  return async (http, next) => {
    const claims = isAuthRequired ? await context.gate.identify(http.req.header('authorization')) : ANONYMOUS;
    requireRole(claims, role);
    const waitMs = context.rates.take(claims.subject, context.options.clock.now());
    if (waitMs > 0) throw rateLimited(claims.subject, waitMs);
    http.set('claims', claims);
    await next();
  };
}

function rateLimited(subject: string, waitMs: number): MeshError {
  return new MeshError('MESH_RATE_LIMITED', `"${subject.slice(0, 128)}" calls more often than it may`, {
    details: { retry_after_ms: Math.ceil(waitMs) },
    retryAfterSeconds: Math.ceil(waitMs / 1_000),
  });
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
