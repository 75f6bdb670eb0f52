import type { Clock } from '@nearfar/core';
import { MeshError } from '@nearfar/protocol';
import { errors, jwtVerify, SignJWT } from 'jose';

/** What a token's bearer may do; each role may also do what the ones before it may. */
export const ROLES = ['client', 'worker', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/** Who calls. */
export interface Claims {
  readonly role: Role;
  readonly subject: string;
  /** Tier that a worker may serve; absent = pool. An edge worker sees what callers keep off the pool. */
  readonly tier?: 'edge' | 'pool';
}

const AUDIENCE = 'nearfar';
const LEASE_AUDIENCE = 'nearfar-lease';
const MIN_SECRET_BYTES = 32;
const DEFAULT_LIFETIME_SECONDS = 30 * 24 * 3_600;
/** An outcome may be reported this long after its lease ran out. */
const LEASE_GRACE_SECONDS = 3_600;

/** Whoever calls a mesh that asks for no token. */
export const ANONYMOUS: Claims = { role: 'admin', subject: 'anonymous' };

/** Makes a signed token. `expiresInSeconds` defaults to 30 days. */
export async function createToken(
  secret: Uint8Array,
  grant: Claims & { readonly expiresInSeconds?: number },
): Promise<string> {
  const { role, subject, tier, expiresInSeconds = DEFAULT_LIFETIME_SECONDS } = grant;
  return sign(secret, { role, ...(tier !== undefined && { tier }) }, AUDIENCE, subject, expiresInSeconds);
}

/**
 * Reads a token.
 *
 * @throws MeshError `MESH_UNAUTHENTICATED` when its signature, audience, role or expiry does not hold.
 */
export async function verifyToken(
  secret: Uint8Array,
  token: string,
): Promise<Claims & { readonly expiresAtSeconds: number }> {
  const { claims } = await verify(secret, token, AUDIENCE, 0);
  const role = ROLES.find((known) => known === claims.role);
  if (role === undefined || typeof claims.sub !== 'string') {
    throw new MeshError('MESH_UNAUTHENTICATED', 'The token names no known role or no subject');
  }
  const tier = claims.tier === 'edge' ? 'edge' : 'pool';
  return { role, subject: claims.sub, tier, expiresAtSeconds: claims.exp ?? 0 };
}

/** @throws MeshError `MESH_FORBIDDEN` when `claims` do not reach `role`. */
export function requireRole(claims: Claims, role: Role): void {
  if (ROLES.indexOf(claims.role) >= ROLES.indexOf(role)) return;
  throw new MeshError('MESH_FORBIDDEN', `Expected a token with role "${role}", got "${claims.role}"`);
}

/** What a lease's id says. */
export interface LeaseClaims {
  /** Unique among all leases. */
  readonly id: string;
  readonly subject: string;
  readonly task: string;
}

/** Makes the id of a lease: signed, so that an outcome can be tied to the right it rests on. */
export async function createLeaseId(
  secret: Uint8Array,
  { id, subject, task, ttlMs }: LeaseClaims & { readonly ttlMs: number },
): Promise<string> {
  return sign(secret, { jti: id, task }, LEASE_AUDIENCE, subject, Math.ceil(ttlMs / 1_000));
}

/** What a lease's id says, if this mesh gave it and it ended not longer than an hour ago. */
export async function readLease(secret: Uint8Array, leaseId: string): Promise<LeaseClaims | undefined> {
  try {
    const { claims } = await verify(secret, leaseId, LEASE_AUDIENCE, LEASE_GRACE_SECONDS);
    const { jti: id, sub: subject, task } = claims;
    if (id === undefined || subject === undefined || typeof task !== 'string') return undefined;
    return { id, subject, task };
  } catch (error) {
    if (error instanceof MeshError) return undefined;
    throw error;
  }
}

/** Whether `leaseId` was given by this mesh to `subject` for `task`, not longer than an hour past its end. */
export async function isLeaseOf(
  secret: Uint8Array,
  leaseId: string,
  subject: string,
  task: string,
): Promise<boolean> {
  const lease = await readLease(secret, leaseId);
  return lease !== undefined && lease.subject === subject && lease.task === task;
}

const MAX_CACHED_TOKENS = 1_024;
/** Checks bearer tokens and remembers them until they expire: a signature costs more than a whole decision. */
export class TokenGate {
  readonly #secret: Uint8Array;
  readonly #clock: Pick<Clock, 'wallTime'>;
  readonly #known = new Map<string, Claims & { readonly expiresAtSeconds: number }>();

  constructor(secret: Uint8Array, clock: Pick<Clock, 'wallTime'>) {
    if (secret.byteLength < MIN_SECRET_BYTES) {
      throw new RangeError(
        `Expected a secret of at least ${MIN_SECRET_BYTES} bytes, got ${secret.byteLength}`,
      );
    }
    this.#secret = secret;
    this.#clock = clock;
  }

  /** Who sends this `Authorization` header. @throws MeshError `MESH_UNAUTHENTICATED`. */
  async identify(authorization: string | null | undefined): Promise<Claims> {
    const token = /^Bearer ([\w.~+/=-]{1,4096})$/i.exec(authorization ?? '')?.[1];
    if (token === undefined) {
      throw new MeshError('MESH_UNAUTHENTICATED', 'Expected a header "Authorization: Bearer <token>"');
    }
    const known = this.#known.get(token);
    if (known !== undefined && this.#clock.wallTime() < known.expiresAtSeconds * 1_000) return known;
    this.#known.delete(token);
    const claims = await verifyToken(this.#secret, token);
    this.#known.set(token, claims);
    if (this.#known.size > MAX_CACHED_TOKENS) {
      const [oldest] = this.#known.keys();
      if (oldest !== undefined) this.#known.delete(oldest);
    }
    return claims;
  }
}

async function sign(
  secret: Uint8Array,
  payload: Record<string, string | number>,
  audience: string,
  subject: string,
  lifetimeSeconds: number,
): Promise<string> {
  return new SignJWT(payload)
    .setProtectedHeader({ alg: 'HS256' })
    .setAudience(audience)
    .setSubject(subject)
    .setIssuedAt()
    .setExpirationTime(`${lifetimeSeconds}s`)
    .sign(secret);
}

async function verify(secret: Uint8Array, token: string, audience: string, toleranceSeconds: number) {
  try {
    const { payload } = await jwtVerify(token, secret, {
      algorithms: ['HS256'],
      audience,
      clockTolerance: toleranceSeconds,
      requiredClaims: ['exp', 'sub'],
    });
    return { claims: payload };
  } catch (cause) {
    const why = cause instanceof errors.JWTExpired ? 'has expired' : 'is not valid';
    throw new MeshError('MESH_UNAUTHENTICATED', `The token ${why}`, { cause });
  }
}
