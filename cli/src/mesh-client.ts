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

/**
 * Calls the mesh; an error body becomes a `MeshError`, no answer becomes `MESH_NETWORK`, an answer that no mesh gives
 * `MESH_INTERNAL`.
 */
export async function callMesh(address: MeshAddress, path: string, init: RequestInit = {}): Promise<unknown> {
  const headers = new Headers(init.headers);
  // A mesh that asks for no token is called without one; for any other, the lack of a secret is what is wrong.
  const token = address.token || (hasSecret(address.state) ? await localToken(address.state) : undefined);
  if (token !== undefined) headers.set('Authorization', `Bearer ${token}`);
  let response: Response;
  let text: string;
  try {
    response = await fetch(new URL(path, address.url), {
      ...init,
      headers,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    text = await response.text();
  } catch (cause) {
    throw new MeshError(
      'MESH_NETWORK',
      `No mesh answers at ${address.url}; start one with "nearfar up" or name it with --url`,
      { cause },
    );
  }
  const body = parseJson(text, response, address.url);
  if (response.ok) return body;
  if (response.status === 401 && token === undefined) await readSecret(address.state);
  const error = safeParse(errorBodySchema, body);
  throw error.success
    ? MeshError.fromBody(error.output)
    : new MeshError('MESH_INTERNAL', `The mesh answered ${response.status} without an error body`);
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
