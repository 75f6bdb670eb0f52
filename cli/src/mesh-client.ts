import { createToken } from '@nearfar/coordinator';
import { loadSecret } from '@nearfar/coordinator/node';
import { errorBodySchema, MeshError } from '@nearfar/protocol';
import { safeParse } from 'valibot';

/** How a command reaches a mesh. */
export interface MeshAddress {
  readonly url: string;
  readonly token?: string;
  readonly state: string;
}

const TIMEOUT_MS = 60_000;
const TOKEN_SECONDS = 600;

/** Calls the mesh; an error body becomes a `MeshError`, no answer becomes `MESH_NETWORK`. */
export async function callMesh(address: MeshAddress, path: string, init: RequestInit = {}): Promise<unknown> {
  const headers = new Headers(init.headers);
  headers.set('Authorization', `Bearer ${address.token || (await localToken(address.state))}`);
  let response: Response;
  try {
    response = await fetch(new URL(path, address.url), {
      ...init,
      headers,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (cause) {
    throw new MeshError(
      'MESH_NETWORK',
      `No mesh answers at ${address.url}; start one with "nearfar up" or name it with --url`,
      { cause },
    );
  }
  const body: unknown = await response.json();
  if (response.ok) return body;
  const error = safeParse(errorBodySchema, body);
  throw error.success
    ? MeshError.fromBody(error.output)
    : new MeshError('MESH_INTERNAL', `The mesh answered ${response.status} without an error body`);
}

/** A short-lived token made with the secret in the state folder. */
async function localToken(stateDirectory: string): Promise<string> {
  const secret = await loadSecret(stateDirectory);
  return await createToken(secret, { role: 'admin', subject: 'cli', expiresInSeconds: TOKEN_SECONDS });
}
