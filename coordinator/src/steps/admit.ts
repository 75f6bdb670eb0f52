import { type RegisteredTask, type RequestSpec, resolveSpec } from '@nearfar/core';
import {
  checkSignature,
  LIMITS,
  MeshError,
  type Parameters,
  parametersSchema,
  parseOrThrow,
  type Tensor,
} from '@nearfar/protocol';
import { variantOf } from '../catalog.ts';
import type { Context } from '../context.ts';

/** A request whose task, demands and inputs hold. */
export interface Admitted {
  readonly requestId: string;
  readonly decisionId: string;
  readonly task: RegisteredTask;
  readonly spec: RequestSpec;
  readonly tensors: readonly Tensor[];
  /** Inputs along the batch axis. */
  readonly rows: number;
  /** When the request's head arrived, on the monotonic clock. */
  readonly arrivedAt: number;
  readonly subject: string;
  /** Aborts when the caller goes away. */
  readonly signal: AbortSignal;
}

/** The task that a URL names, in the revision that answers, and the variant that it pins; before any body is read. */
export interface Target {
  readonly task: RegisteredTask;
  readonly variant: string | undefined;
}

/**
 * Finds what a URL names. Where two revisions serve, the request's id decides between them, unless the pinned variant is
 * in one of them alone, or `brings` (default: tensors) suits the active one alone; without an id it is the active one.
 *
 * @throws MeshError `MESH_UNKNOWN_TASK` or `MESH_UNKNOWN_VARIANT`.
 */
export function admitTarget(
  { catalog, rollouts }: Pick<Context, 'catalog' | 'rollouts'>,
  named: {
    readonly task: string;
    readonly variant?: string | undefined;
    readonly id?: string;
    readonly brings?: 'tensors' | 'picture';
  },
): Target {
  const record = catalog.known(named.task);
  const { variant, id, brings = 'tensors' } = named;
  const chosen = id === undefined ? record.active : rollouts.revisionFor(record, id, brings);
  if (variant === undefined) return { task: chosen, variant };
  const hasIt = ({ variants }: RegisteredTask) => variants.some((entry) => entry.variant === variant);
  const task = hasIt(chosen) ? chosen : (rollouts.served(record).find(hasIt) ?? chosen);
  return { task, variant: variantOf(task, variant).variant };
}

/** @throws MeshError `MESH_BAD_PARAMETER`. */
export function admitSpec({ task, variant }: Target, parameters: unknown): RequestSpec {
  const checked = parseOrThrow(parametersSchema, parameters ?? {}, 'MESH_BAD_PARAMETER', 'parameters');
  return resolveSpec(checked, task.defaults, variant);
}

/**
 * Checks the inputs against the pinned variant's signature, else the task's (its variants share one).
 *
 * @returns the number of inputs along the batch axis.
 * @throws MeshError `MESH_BAD_TENSOR`.
 */
export function admitInputs({ task, variant }: Target, tensors: readonly Tensor[]): number {
  const spec = task.variants.find((entry) => variant === undefined || entry.variant === variant);
  if (spec === undefined) throw new MeshError('MESH_UNKNOWN_VARIANT', `Task "${task.task}" has no variants`);
  checkSignature(tensors, spec.inputs);
  const bytes = tensors.reduce((sum, tensor) => sum + tensor.data.byteLength, 0);
  if (bytes > LIMITS.maxBodyBytes) {
    throw new MeshError(
      'MESH_BODY_TOO_LARGE',
      `Expected tensors of at most ${LIMITS.maxBodyBytes} bytes, got ${bytes}`,
    );
  }
  if (!spec.isBatchable) return 1;
  const rows = tensors[0]?.shape[0] ?? 1;
  if (rows > LIMITS.maxRows) {
    throw new MeshError(
      'MESH_BAD_TENSOR',
      `Expected at most ${LIMITS.maxRows} inputs in one request, got ${rows}: send several requests, the mesh batches them`,
    );
  }
  for (const { name, shape } of tensors) {
    if (shape[0] === rows && rows > 0) continue;
    throw new MeshError(
      'MESH_BAD_TENSOR',
      `Expected every input to have the same batch size from 1, got ${shape[0]} for "${name}"`,
    );
  }
  return rows;
}

type QueryKind = 'number' | 'boolean' | 'text';

const QUERY_PARAMETERS: Readonly<Record<keyof Parameters, QueryKind>> = {
  slo_ms: 'number',
  slo_target: 'number',
  min_accuracy: 'number',
  degrade_to: 'number',
  model: 'text',
  max_cost_usd: 'number',
  prefer: 'text',
  privacy: 'text',
  on_infeasible: 'text',
  priority: 'number',
  timeout: 'number',
  explain: 'boolean',
};

/**
 * The parameters of a query string; names that are not ours are passed over.
 *
 * @throws MeshError `MESH_BAD_PARAMETER` for anything that is not exactly a number or a boolean where one is due.
 */
export function parametersFromQuery(query: URLSearchParams): Record<string, string | number | boolean> {
  const parameters: Record<string, string | number | boolean> = {};
  for (const [name, kind] of Object.entries(QUERY_PARAMETERS)) {
    const text = query.get(name);
    if (text !== null) parameters[name] = parseQueryValue(name, kind, text);
  }
  return parameters;
}

function parseQueryValue(name: string, kind: QueryKind, text: string): string | number | boolean {
  if (kind === 'text') return text;
  if (kind === 'number' && /^-?\d{1,15}(\.\d{1,15})?(e-?\d{1,3})?$/i.test(text)) return Number(text);
  if (kind === 'boolean' && /^(true|false|1|0)$/.test(text)) return text === 'true' || text === '1';
  throw new MeshError('MESH_BAD_PARAMETER', `Expected "${name}" to be a ${kind}, got "${text.slice(0, 64)}"`);
}
