import {
  BINARY_HEADER,
  decodeInferResponse,
  encodeInferRequest,
  joinBody,
  MeshError,
  type Parameters,
  parseBinaryHeader,
  parseOrThrow,
  type Tensor,
  tierSchema,
} from '@nearfar/protocol';
import * as v from 'valibot';
import { type Api, networkError } from './api.ts';

/** The response parameters that the SDK reads. */
const factsSchema = v.object({
  tier: tierSchema,
  variant: v.string(),
  /** Of the task; a mesh that tells none has one alone. */
  revision: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
  worker: v.string(),
  accuracy: v.number(),
  predicted_ms: v.number(),
  total_ms: v.number(),
  cost_usd: v.number(),
  decision_id: v.string(),
  cascade_stage: v.optional(v.picklist(['small', 'large'])),
});

/** An answer of the mesh: outputs, and where and how they came about. */
export interface RemoteAnswer {
  readonly outputs: readonly Tensor[];
  readonly facts: v.InferOutput<typeof factsSchema>;
}

/** What is asked for. */
export interface RemoteTarget {
  readonly task: string;
  /** The only variant that may answer. */
  readonly variant?: string | undefined;
  /** Of the decision that the request goes on with. */
  readonly decisionId?: string | undefined;
}

/** Lets the mesh run a request: binary both ways. */
export async function inferRemotely(
  api: Pick<Api, 'request'>,
  { task, variant, decisionId }: RemoteTarget,
  inputs: readonly Tensor[],
  parameters: Parameters,
  signal: AbortSignal,
): Promise<RemoteAnswer> {
  // The last guard of the promise that such a payload stays in the page; the decision has excluded every remote place.
  if (parameters.privacy === 'local_only') {
    throw new MeshError('MESH_INTERNAL', 'A local_only request must not leave the page');
  }
  const named: Record<string, string | number | boolean> = { binary_data_output: true };
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) named[name] = value;
  if (decisionId !== undefined) named.decision_id = decisionId;
  const body = encodeInferRequest({ parameters: named }, inputs);
  const version = variant === undefined ? '' : `/versions/${encodeURIComponent(variant)}`;
  const response = await api.request(`/v2/models/${encodeURIComponent(task)}${version}/infer`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/octet-stream', [BINARY_HEADER]: String(body.headerBytes) },
    body: joinBody(body),
    signal,
  });
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(await response.arrayBuffer());
  } catch (cause) {
    throw networkError(cause, signal);
  }
  const headerBytes = parseBinaryHeader(response.headers.get(BINARY_HEADER));
  const { header, tensors } = decodeInferResponse(bytes, headerBytes);
  const facts = parseOrThrow(factsSchema, header.parameters, 'MESH_INTERNAL', 'inference answer');
  return { outputs: tensors, facts };
}
