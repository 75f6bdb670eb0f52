import { createToken } from '@nearfar/coordinator';
import { errorBodySchema, MeshError } from '@nearfar/protocol';
import { safeParse } from 'valibot';
import { hasSecret, readSecret } from './local-secret.ts';

/** How a command reaches a mesh. */
export interface MeshAddress {
  readonly url: string;
  readonly token?: string;
  readonly state: string;
}

const TIMEOUT_MS = 60_000;
const TOKEN_SECONDS = 600;

/** A call of the mesh; what is left out is as `fetch` has it. */
export interface MeshCall {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  /** Default 60,000; `Infinity` for answers that take as long as they take. */
  readonly timeoutMs?: number;
  /** Statuses that are an answer and no failure, besides those from 200 to 299. */
  readonly allow?: readonly number[];
}

/** Calls the mesh and reads its JSON; see `fetchMesh` for what goes wrong. */
export async function callMesh(address: MeshAddress, path: string, call: MeshCall = {}): Promise<unknown> {
  const response = await fetchMesh(address, path, call);
  return parseJson(await textOf(response, address.url), response, address.url);
}

/**
 * Calls the mesh; an error body becomes a `MeshError`, no answer becomes `MESH_NETWORK`, an answer that no mesh gives
 * `MESH_INTERNAL`.
 */
export async function fetchMesh(address: MeshAddress, path: string, call: MeshCall = {}): Promise<Response> {
  const { method = 'GET', body, timeoutMs = TIMEOUT_MS, allow = [] } = call;
  const headers = new Headers(call.headers);
  // A mesh that asks for no token is called without one; for any other, the lack of a secret is what is wrong.
  const token = address.token || (hasSecret(address.state) ? await localToken(address.state) : undefined);
  if (token !== undefined) headers.set('Authorization', `Bearer ${token}`);
  const signal = Number.isFinite(timeoutMs) ? AbortSignal.timeout(timeoutMs) : null;
  let response: Response;
  try {
    response = await fetch(new URL(path, address.url), { method, headers, signal, body: body ?? null });
  } catch (cause) {
    throw unreachable(address.url, cause);
  }
  if (response.ok || allow.includes(response.status)) return response;
  if (response.status === 401 && token === undefined) await readSecret(address.state);
  const text = await textOf(response, address.url);
  const error = safeParse(errorBodySchema, parseJson(text, response, address.url));
  throw error.success
    ? MeshError.fromBody(error.output)
    : new MeshError('MESH_INTERNAL', `The mesh answered ${response.status} without an error body`);
}

async function textOf(response: Response, url: string): Promise<string> {
  try {
    return await response.text();
  } catch (cause) {
    throw unreachable(url, cause);
  }
}

function unreachable(url: string, cause: unknown): MeshError {
  const message =
    (cause as Error | null)?.name === 'TimeoutError'
      ? `The mesh at ${url} did not answer in time`
      : `No mesh answers at ${url}; start one with "nearfar up" or name it with --url`;
  return new MeshError('MESH_NETWORK', message, { cause });
}

function parseJson(text: string, { status, headers }: Response, url: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const found = headers.get('Content-Type') ?? 'no content type';
    throw new MeshError(
      'MESH_INTERNAL',
      `Expected JSON from ${url}, got HTTP ${status} with ${found}: it does not look like a mesh; check --url`,
      { cause },
    );
  }
}

/** A short-lived token made with the secret in the state folder. */
async function localToken(stateDirectory: string): Promise<string> {
  const secret = await readSecret(stateDirectory);
  return await createToken(secret, { role: 'admin', subject: 'cli', expiresInSeconds: TOKEN_SECONDS });
}
