import { predict } from '@nearfar/core';
import { decodeInferRequest, LIMITS, MeshError, type Tensor, tensorToJson } from '@nearfar/protocol';
import { Hono, type Context as HttpContext } from 'hono';
import type { AppEnvironment, Context } from '../context.ts';
import { responseParameters, type Served, serve } from '../serve.ts';
import { admitInputs, admitSpec, admitTarget, parametersFromQuery, type Target } from '../steps/admit.ts';
import { withBody } from './body.ts';
import { entry, gate, whileUsing } from './gate.ts';

const PICTURES: ReadonlySet<string> = new Set(['image/png', 'image/jpeg']);

/** `POST /v1/tasks/{task}/infer`: a picture or tensors in, predictions out. */
export function taskRoutes(context: Context): Hono<AppEnvironment> {
  const routes = new Hono<AppEnvironment>();
  routes.post('/v1/tasks/:task/infer', gate(context, 'client'), async (http) => {
    const request = entry(http);
    const contentType = (http.req.header('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
    const brings = PICTURES.has(contentType) ? 'picture' : 'tensors';
    const target = admitTarget(context, { task: http.req.param('task'), id: request.decisionId, brings });
    const query = parametersFromQuery(new URL(http.req.url).searchParams);
    admitSpec(target, query); // A bad parameter is refused before the body is read.
    checkMediaType(target, contentType);
    const maxBytes = brings === 'picture' ? LIMITS.maxBodyBytes : LIMITS.maxInferJsonBytes;
    return await whileUsing(context, target, () =>
      withBody(context, http, maxBytes, (body) =>
        inferBody(context, http, request, target, contentType, query, body),
      ),
    );
  });
  return routes;
}

async function inferBody(
  context: Context,
  http: HttpContext<AppEnvironment>,
  request: ReturnType<typeof entry>,
  target: Target,
  contentType: string,
  query: ReturnType<typeof parametersFromQuery>,
  body: Uint8Array,
): Promise<Response> {
  const { tensors, parameters } = PICTURES.has(contentType)
    ? {
        tensors: [await readPicture(context, target, query, request, body, contentType)],
        parameters: undefined,
      }
    : readTensors(body);
  const spec = admitSpec(target, { ...parameters, ...query });
  const rows = admitInputs(target, tensors);
  const served = await serve(context, { ...request, task: target.task, spec, tensors, rows });
  const { explanation } = served;
  return http.json({
    ...describeAnswer(target, served, rows),
    placement: responseParameters(served),
    ...(explanation !== undefined && { explanation }),
  });
}

function checkMediaType({ task }: Target, contentType: string): void {
  if (contentType === 'application/json') return;
  if (PICTURES.has(contentType) && task.preprocess !== undefined) return;
  const accepted = task.preprocess === undefined ? ['application/json'] : [...PICTURES, 'application/json'];
  throw new MeshError(
    'MESH_UNSUPPORTED_MEDIA_TYPE',
    `Expected a body of type ${accepted.join(', ')}, got "${contentType.slice(0, 64)}"`,
  );
}

async function readPicture(
  context: Context,
  target: Target,
  query: ReturnType<typeof parametersFromQuery>,
  { arrivedAt, signal }: ReturnType<typeof entry>,
  body: Uint8Array,
  contentType: string,
): Promise<Tensor> {
  const { task } = target;
  const { timeoutMs } = admitSpec(target, query);
  const leftMs = timeoutMs - (context.options.clock.now() - arrivedAt);
  const hardStop = AbortSignal.timeout(Math.max(0, Math.ceil(leftMs)));
  if (task.preprocess === undefined) {
    throw new MeshError('MESH_UNSUPPORTED_MEDIA_TYPE', `Task "${task.task}" takes no pictures`);
  }
  try {
    const either = AbortSignal.any([signal, hardStop]);
    return await context.options.pictures.toTensor(body, contentType, task.preprocess, either);
  } catch (cause) {
    if (signal.aborted) throw new MeshError('MESH_CANCELLED', 'The caller went away', { cause });
    if (!hardStop.aborted) throw cause;
    const message = `The picture was not read within the time limit of ${timeoutMs} ms`;
    throw new MeshError('MESH_DEADLINE_EXCEEDED', message, { cause });
  }
}

/** A JSON body holds the inputs as the Open Inference Protocol has them. */
function readTensors(body: Uint8Array) {
  const { header, tensors } = decodeInferRequest(body);
  return { tensors, parameters: header.parameters };
}

/** Predictions for one input of a task that has a way to read its outputs, named tensors for everything else. */
function describeAnswer({ task }: Target, { outputs }: Served, rows: number) {
  if (task.postprocess !== undefined && rows === 1) {
    return { predictions: predict(outputs, task.postprocess, task.labels) };
  }
  return {
    outputs: outputs.map((tensor) => ({
      name: tensor.name,
      datatype: tensor.datatype,
      shape: tensor.shape,
      data: tensorToJson(tensor),
    })),
  };
}
