import {
  BINARY_HEADER,
  decodeInferResponse,
  encodeInferRequest,
  errorBodySchema,
  float32Values,
  joinBody,
  MeshError,
  parseBinaryHeader,
  parseOrThrow,
  type Tensor,
} from '@nearfar/protocol';
import type { Call, CallerKind, CallResult } from './calls.ts';

/** Plain HTTP callers: they know a URL and a token, and speak the Open Inference Protocol. */
export const HTTP_KINDS: readonly CallerKind[] = [
  { name: 'HTTP, relaxed', network: 'loopback', sloMs: 250, privacy: 'any', isDemanding: false },
  { name: 'HTTP, strict', network: 'loopback', sloMs: 60, privacy: 'any', isDemanding: false },
  { name: 'HTTP, accurate', network: 'loopback', sloMs: 250, privacy: 'any', isDemanding: true },
  { name: 'HTTP, off the pool', network: 'loopback', sloMs: 250, privacy: 'no_pool', isDemanding: false },
];

/** Batches of pictures that arrive many at a time, so that the edge alone cannot be sure to be on time. */
export const BURST_KIND: CallerKind = {
  name: 'HTTP, bursts of batches',
  network: 'loopback',
  sloMs: 200,
  privacy: 'any',
  isDemanding: true,
};

/** Calls the mesh once, as any client of the protocol would. Never rejects: a failure is a result. */
export async function callOverHttp(url: string, token: string, call: Call): Promise<CallResult> {
  const startedAt = performance.now();
  try {
    const parameters = {
      slo_ms: call.kind.sloMs,
      privacy: call.kind.privacy,
      min_accuracy: call.minAccuracy,
    };
    const { header, scores } = await inferOverHttp(
      `${url}/v2/models/${call.task}/infer`,
      token,
      call.input,
      parameters,
    );
    const totalMs = performance.now() - startedAt;
    return {
      status: 'answered',
      call,
      tier: String(header.tier) as 'edge' | 'pool',
      variant: String(header.variant),
      accuracy: Number(header.accuracy),
      scores,
      predictedMs: Number(header.predicted_ms),
      totalMs,
      costUsd: Number(header.cost_usd),
    };
  } catch (error) {
    const code = error instanceof MeshError ? error.code : 'MESH_NETWORK';
    return { status: 'failed', call, code, message: error instanceof Error ? error.message : String(error) };
  }
}

/** One inference in binary form; gives the answer's parameters and the values of its first output. */
export async function inferOverHttp(
  url: string,
  token: string,
  input: Tensor,
  parameters: Readonly<Record<string, string | number | boolean>>,
): Promise<{ header: Readonly<Record<string, unknown>>; scores: number[] }> {
  const body = encodeInferRequest({ parameters: { ...parameters, binary_data_output: true } }, [input]);
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${token}`,
      'Content-Type': 'application/octet-stream',
      [BINARY_HEADER]: String(body.headerBytes),
    },
    body: joinBody(body),
  });
  if (!response.ok) {
    throw MeshError.fromBody(
      parseOrThrow(errorBodySchema, await response.json(), 'MESH_INTERNAL', 'error body'),
    );
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  const { header, tensors } = decodeInferResponse(
    bytes,
    parseBinaryHeader(response.headers.get(BINARY_HEADER)),
  );
  const [output] = tensors;
  if (output === undefined) throw new MeshError('MESH_INTERNAL', 'The answer holds no output');
  return { header: header.parameters ?? {}, scores: Array.from(float32Values(output)) };
}
