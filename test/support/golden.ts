import { readFile } from 'node:fs/promises';
import { checkGolden, type GoldenCase, type ProfileView, parseGolden } from '@nearfar/core';
import {
  BINARY_HEADER,
  decodeInferResponse,
  type ErrorBody,
  encodeInferRequest,
  joinBody,
  type Parameters,
  parseBinaryHeader,
} from '@nearfar/protocol';
import type { MeshProcess } from './mesh-process.ts';

/** The known inputs of a sample task (eight pictures) and what one of its models gives for them. */
export async function readGolden(task: 'digits' | 'fashion', model: string): Promise<GoldenCase> {
  const bytes = await readFile(new URL(`../../models/${task}/golden.json`, import.meta.url));
  return parseGolden(bytes, { variant: model, model });
}

/**
 * Demands under which the edge alone can be on time with about ten requests for the known inputs, by what it measured:
 * a burst of several times as many has to go on to the pool, however fast the machine is.
 */
export async function saturatingDemands(mesh: Pick<MeshProcess, 'get'>): Promise<Parameters> {
  const { profiles } = (await mesh.get('/v1/profiles')) as { profiles: ProfileView[] };
  const batchMs = profiles.find(
    ({ task, variant, batch }) => task === 'fashion' && variant === 'large-fp32-onnx' && batch === 8,
  )?.meanMs;
  if (batchMs === undefined) throw new Error('Expected batches of 8 to be profiled');
  return { slo_ms: 30 + 10 * batchMs, model: 'large' };
}

/** An answer of `POST /v2/models/{task}/infer` to the known inputs; its outputs were compared with the known ones. */
export type GoldenAnswer =
  | { readonly status: 200; readonly tier: string; readonly variant: string }
  | { readonly status: number; readonly body: ErrorBody };

/** Sends the known inputs as one batch. @throws when the outputs are not the known ones. */
export async function inferGolden(
  mesh: { readonly url: string; readonly token: string },
  task: 'digits' | 'fashion',
  golden: GoldenCase,
  parameters: Parameters,
): Promise<GoldenAnswer> {
  const given = Object.entries(parameters).filter((entry) => entry[1] !== undefined);
  const body = encodeInferRequest(
    {
      parameters: {
        ...(Object.fromEntries(given) as Record<string, string | number>),
        binary_data_output: true,
      },
    },
    golden.inputs,
  );
  const response = await fetch(`${mesh.url}/v2/models/${task}/infer`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${mesh.token}`, [BINARY_HEADER]: String(body.headerBytes) },
    body: joinBody(body),
  });
  if (!response.ok) return { status: response.status, body: (await response.json()) as ErrorBody };
  const bytes = new Uint8Array(await response.arrayBuffer());
  const { header, tensors } = decodeInferResponse(
    bytes,
    parseBinaryHeader(response.headers.get(BINARY_HEADER)),
  );
  checkGolden(golden, tensors, 1e-3);
  return {
    status: 200,
    tier: String(header.parameters?.tier),
    variant: String(header.parameters?.variant),
  };
}
