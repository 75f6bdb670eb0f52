import {
  type ErrorBody,
  errorBodySchema,
  MeshError,
  modelsResponseSchema,
  type OutcomesRequest,
  type OutcomesResponse,
  outcomesResponseSchema,
  type PlacementRequest,
  type PlacementResponse,
  parseOrThrow,
  placementResponseSchema,
  type TaskInfo,
} from '@nearfar/protocol';
import { abortable } from './shared-calls.ts';
import type { MeshOptions } from './types.ts';

/** The mesh's HTTP interface, as the SDK uses it. Every failure is a `MeshError`, or the signal's reason. */
export interface Api {
  models(signal?: AbortSignal): Promise<readonly TaskInfo[]>;
  placement(request: PlacementRequest, signal?: AbortSignal): Promise<PlacementResponse>;
  /** Reports outcomes; `isLast` lets the request outlive the page, whose answer nobody reads. */
  outcomes(report: OutcomesRequest, isLast: boolean): Promise<OutcomesResponse | undefined>;
  /** The response of an artifact, or of what it has from `start` on; its body is still to be read. */
  artifact(sha256: string, signal: AbortSignal, start?: number): Promise<Response>;
  /** Any call whose answer the caller reads itself. */
  request(path: string, init: RequestInit): Promise<Response>;
}

/** Opens the mesh at `endpoint`. An empty token sends none; one that is a function is asked anew for each call. */
export function createApi(endpoint: string, token: NonNullable<MeshOptions['token']>): Api {
  const base = endpoint.replace(/\/+$/, '');
  const request = async (path: string, init: RequestInit): Promise<Response> => {
    const headers = new Headers(init.headers);
    const current = typeof token === 'string' ? token : await askFor(token, init.signal);
    if (current !== '') headers.set('Authorization', `Bearer ${current}`);
    let response: Response;
    try {
      response = await fetch(`${base}${path}`, { ...init, headers });
    } catch (cause) {
      throw networkError(cause, init.signal);
    }
    if (!response.ok) throw await errorOf(response, init.signal);
    return response;
  };
  const post = (path: string, body: unknown, init: RequestInit): Promise<Response> =>
    request(path, {
      ...init,
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
  return {
    request,
    async models(signal) {
      const response = await request('/v1/models', { signal: signal ?? null });
      const json = await readJson(response, signal);
      return parseOrThrow(modelsResponseSchema, json, 'MESH_INTERNAL', 'models answer').models;
    },
    async placement(body, signal) {
      const response = await post('/v1/placements', body, { signal: signal ?? null });
      const json = await readJson(response, signal);
      return parseOrThrow(placementResponseSchema, json, 'MESH_INTERNAL', 'placement answer');
    },
    async outcomes(report, isLast) {
      const response = await post('/v1/outcomes', report, { keepalive: isLast });
      if (isLast) {
        await response.body?.cancel();
        return undefined;
      }
      const json = await readJson(response, undefined);
      return parseOrThrow(outcomesResponseSchema, json, 'MESH_INTERNAL', 'outcomes answer');
    },
    artifact: (sha256, signal, start = 0) =>
      request(`/v1/artifacts/${sha256}`, {
        signal,
        // What the browser keeps of the first part may be compressed, and must not be joined with this one.
        ...(start > 0 && { headers: { Range: `bytes=${start}-` }, cache: 'no-store' }),
      }),
  };
}

/** A token service that fails is no better than a mesh that cannot be reached: a page may go on by itself. */
async function askFor(
  token: () => string | Promise<string>,
  signal: AbortSignal | null | undefined,
): Promise<string> {
  try {
    return await abortable((async () => token())(), signal ?? undefined);
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new MeshError('MESH_NETWORK', `Expected "token" to give a token, it failed: ${reason}`, { cause });
  }
}

/** What a failed `fetch`, or a body that broke off, is to a caller. */
export function networkError(cause: unknown, signal?: AbortSignal | null): unknown {
  if (signal?.aborted) return signal.reason;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new MeshError('MESH_NETWORK', `The mesh cannot be reached: ${reason}`, { cause });
}

async function readJson(response: Response, signal: AbortSignal | undefined): Promise<unknown> {
  try {
    return await response.json();
  } catch (cause) {
    throw networkError(cause, signal);
  }
}

/** The error that a response carries; one that is not ours (a proxy's page) is a network error. */
async function errorOf(response: Response, signal: AbortSignal | null | undefined): Promise<unknown> {
  let body: ErrorBody;
  try {
    body = parseOrThrow(errorBodySchema, await response.json());
  } catch (cause) {
    if (signal?.aborted) return signal.reason;
    return new MeshError('MESH_NETWORK', `Expected an answer of the mesh, got HTTP ${response.status}`, {
      cause,
    });
  }
  return MeshError.fromBody(body);
}
