import type { RegisteredTask } from '@nearfar/core';
import {
  BINARY_HEADER,
  type Decoded,
  decodeInferRequest,
  type EncodedBody,
  encodeInferResponse,
  type InferRequest,
  joinBody,
  LIMITS,
  MeshError,
  opaqueIdSchema,
  parseBinaryHeader,
  parseOrThrow,
  type Tensor,
} from '@nearfar/protocol';
import { Hono, type Context as HttpContext } from 'hono';
import type { AppEnvironment, Context } from '../context.ts';
import { responseParameters, serve } from '../serve.ts';
import { admitInputs, admitSpec, admitTarget, type Target } from '../steps/admit.ts';
import { withBody } from './body.ts';
import { entry, gate, whileUsing } from './gate.ts';
import { isServed } from './health.ts';

const VERSION = '0.1.0';

/** The Open Inference Protocol (KServe v2, REST): server and model metadata, readiness, inference in JSON and binary. */
export function oipRoutes(context: Context): Hono<AppEnvironment> {
  const routes = new Hono<AppEnvironment>();
  const client = gate(context, 'client');
  const { catalog } = context;

  routes.get('/v2', (http) =>
    http.json({ name: 'nearfar', version: VERSION, extensions: ['binary_tensor_data'] }),
  );
  routes.get('/v2/models', client, (http) =>
    http.json({
      models: catalog.list().map((task) => ({ name: task.task, ready: isServed(context, task) })),
    }),
  );
  routes.post('/v2/repository/index', client, (http) =>
    http.json(
      catalog.list().flatMap((task) =>
        task.variants.map(({ variant }) => ({
          name: task.task,
          version: variant,
          state: isServed(context, task, variant) ? 'READY' : 'UNAVAILABLE',
        })),
      ),
    ),
  );
  for (const path of ['/v2/models/:task', '/v2/models/:task/versions/:variant'] as const) {
    routes.get(path, client, (http) => {
      const { task, variant } = admitTarget(context, named(http));
      return http.json(metadata(task, variant));
    });
    routes.get(`${path}/ready`, client, (http) => {
      const { task, variant } = admitTarget(context, named(http));
      const isReady = isServed(context, task, variant);
      return http.json({ name: task.task, ready: isReady }, isReady ? 200 : 503);
    });
    routes.post(`${path}/infer`, client, (http) => infer(context, http));
  }
  return routes;
}

async function infer(context: Context, http: HttpContext<AppEnvironment>): Promise<Response> {
  const request = entry(http);
  const target = admitTarget(context, { ...named(http), id: request.decisionId });
  const headerBytes = parseBinaryHeader(http.req.header(BINARY_HEADER));
  const maxBytes = headerBytes === undefined ? LIMITS.maxInferJsonBytes : LIMITS.maxBodyBytes;
  return await whileUsing(context, target, () =>
    withBody(context, http, maxBytes, (body) =>
      inferBody(context, http, request, target, decodeInferRequest(body, headerBytes)),
    ),
  );
}

async function inferBody(
  context: Context,
  http: HttpContext<AppEnvironment>,
  request: ReturnType<typeof entry>,
  target: Target,
  { header, tensors }: Decoded<InferRequest>,
): Promise<Response> {
  const { task } = target;
  const spec = admitSpec(target, header.parameters);
  const rows = admitInputs(target, tensors);
  checkOutputs(task, header);
  const decisionId = continuedDecision(context, request, header) ?? request.decisionId;
  const served = await serve(context, { ...request, decisionId, task, spec, tensors, rows });
  const { explanation } = served;
  const parameters = {
    ...responseParameters(served),
    // Parameters of the protocol are flat, so the explanation travels as text.
    ...(explanation !== undefined && { explanation: JSON.stringify(explanation) }),
  };
  const encoded = encodeInferResponse(
    {
      model_name: task.task,
      model_version: served.variant.variant,
      ...(header.id !== undefined && { id: header.id }),
      parameters,
    },
    selectOutputs(served.outputs, header),
    (name) => isBinary(name, header),
  );
  return answer(http, encoded);
}

/**
 * The decision of a page that this request goes on with: a cascade whose small stage ran there. Whatever else has that id,
 * or is somebody else's, is left alone.
 *
 * @throws MeshError `MESH_BAD_PARAMETER`.
 */
function continuedDecision(
  { decisions }: Context,
  { subject }: ReturnType<typeof entry>,
  { parameters }: InferRequest,
): string | undefined {
  if (parameters?.decision_id === undefined) return undefined;
  const id = parseOrThrow(opaqueIdSchema, parameters.decision_id, 'MESH_BAD_PARAMETER', 'decision_id');
  const known = decisions.find(id);
  const isOpen = known === undefined || (known.subject === subject && known.source === 'page');
  return isOpen ? id : undefined;
}

function named(http: HttpContext<AppEnvironment>) {
  return { task: http.req.param('task') ?? '', variant: http.req.param('variant') };
}

function metadata(task: RegisteredTask, variantName: string | undefined) {
  const variants = task.variants.filter(
    (entry) => variantName === undefined || entry.variant === variantName,
  );
  const [first] = variants;
  return {
    name: task.task,
    versions: variants.map((variant) => variant.variant),
    platform: variantName === undefined ? 'nearfar' : (first?.format ?? 'nearfar'),
    inputs: first?.inputs ?? [],
    outputs: first?.outputs ?? [],
  };
}

/** An output that the task does not have is refused before anything runs. */
function checkOutputs(task: RegisteredTask, { outputs }: InferRequest): void {
  const known = task.variants[0]?.outputs.map((output) => output.name) ?? [];
  for (const { name } of outputs ?? []) {
    if (known.includes(name)) continue;
    throw new MeshError('MESH_BAD_REQUEST', `Task "${task.task}" has no output "${name}"`, {
      details: { outputs: known },
    });
  }
}

function selectOutputs(tensors: readonly Tensor[], { outputs }: InferRequest): readonly Tensor[] {
  if (outputs === undefined || outputs.length === 0) return tensors;
  return outputs.flatMap(({ name }) => tensors.filter((tensor) => tensor.name === name).slice(0, 1));
}

function isBinary(name: string, { outputs, parameters }: InferRequest): boolean {
  const own = outputs?.find((output) => output.name === name)?.parameters?.binary_data;
  return own ?? parameters?.binary_data_output === true;
}

/** Sends an encoded body, with the header that says where its binary part starts. */
function answer(http: HttpContext<AppEnvironment>, encoded: EncodedBody): Response {
  const { headerBytes } = encoded;
  return http.body(joinBody(encoded), 200, {
    'Content-Type': headerBytes === undefined ? 'application/json' : 'application/octet-stream',
    ...(headerBytes !== undefined && { [BINARY_HEADER]: String(headerBytes) }),
  });
}
