import {
  candidateSchema,
  deviceSchema,
  errorBodySchema,
  loadSchema,
  MeshError,
  modelsResponseSchema,
  type ParetoLineBody,
  paretoResponseSchema,
  parseOrThrow,
  replicaSchema,
  type TaskInfo,
  tierSchema,
} from '@nearfar/protocol';
import * as v from 'valibot';

const workersResponseSchema = v.object({
  workers: v.array(
    v.object({
      workerId: v.string(),
      tier: tierSchema,
      device: deviceSchema,
      slots: v.number(),
      connectedAt: v.string(),
      load: v.optional(v.partial(loadSchema)),
      replicas: v.optional(v.array(replicaSchema), []),
      state: v.string(),
    }),
  ),
});
/** A worker as `GET /v1/workers` lists it. */
export type WorkerInfo = v.InferOutput<typeof workersResponseSchema>['workers'][number];

const profilesResponseSchema = v.object({
  profiles: v.array(
    v.object({
      task: v.string(),
      variant: v.string(),
      revision: v.number(),
      deviceClass: v.string(),
      batch: v.number(),
      samples: v.number(),
      reporters: v.number(),
      p50Ms: v.number(),
      p99Ms: v.number(),
      loadMs: v.optional(v.number()),
      downloadMs: v.optional(v.number()),
      compileMs: v.optional(v.number()),
      firstRunMs: v.optional(v.number()),
      memoryBytes: v.optional(v.number()),
      peakMemoryBytes: v.optional(v.number()),
      modelBytes: v.optional(v.number()),
      runtimeBytes: v.optional(v.number()),
      ageMs: v.number(),
      isStale: v.boolean(),
    }),
  ),
});
/** What was measured of a variant on a device class at one batch size; parts that nobody reported are absent. */
export type ProfileInfo = v.InferOutput<typeof profilesResponseSchema>['profiles'][number];

const choiceSchema = v.looseObject({
  kind: v.picklist(['meets-slo', 'best-effort', 'refused']),
  tier: v.optional(tierSchema),
  variant: v.optional(v.string()),
  worker: v.optional(v.string()),
  predictedMs: v.optional(v.number()),
  /** Why nothing was taken. */
  message: v.optional(v.string()),
});
const outcomeSchema = v.object({
  status: v.picklist(['ok', 'failed', 'cancelled']),
  totalMs: v.number(),
  queueMs: v.optional(v.number()),
  computeMs: v.optional(v.number()),
  batchSize: v.optional(v.number()),
  costUsd: v.optional(v.number()),
  sloMet: v.optional(v.boolean()),
});
const decisionSummarySchema = v.object({
  id: v.string(),
  /** ISO 8601. */
  at: v.string(),
  /** Who decided: the mesh for a request or for a page's question, or a page by itself. */
  source: v.picklist(['request', 'placement', 'page']),
  task: v.string(),
  /** Partly unknown where a page decided and only told the outcome. */
  spec: v.object({
    sloMs: v.optional(v.number()),
    sloTarget: v.optional(v.number()),
    minAccuracy: v.optional(v.number()),
    privacy: v.optional(v.string()),
    prefer: v.optional(v.string()),
  }),
  choice: choiceSchema,
  outcome: v.optional(outcomeSchema),
});
const decisionsResponseSchema = v.object({ decisions: v.array(decisionSummarySchema) });
/** One line of `GET /v1/decisions`. */
export type DecisionSummary = v.InferOutput<typeof decisionSummarySchema>;

const decisionSchema = v.object({
  ...decisionSummarySchema.entries,
  candidates: v.array(candidateSchema),
  attempts: v.optional(
    v.array(v.object({ variant: v.string(), worker: v.string(), code: v.optional(v.string()) })),
    [],
  ),
});
/** `GET /v1/decisions/{id}`. */
export type DecisionInfo = v.InferOutput<typeof decisionSchema>;

/** The Pareto table of one task. */
export interface TaskPareto {
  readonly task: string;
  readonly lines: readonly ParetoLineBody[];
}

/** Reads the mesh's own routes, as the holder of one token. */
export interface Api {
  models(): Promise<readonly TaskInfo[]>;
  workers(): Promise<readonly WorkerInfo[]>;
  profiles(): Promise<readonly ProfileInfo[]>;
  pareto(): Promise<readonly TaskPareto[]>;
  decisions(limit: number): Promise<readonly DecisionSummary[]>;
  decision(id: string): Promise<DecisionInfo>;
}

/** A mesh that takes longer than this is reported as not answering. */
const TIMEOUT_MS = 8_000;

/** Every answer is checked before it is used; failures are `MeshError`s. */
export function createApi(token: string | undefined): Api {
  const get = async <const Schema extends v.GenericSchema>(path: string, schema: Schema) =>
    parseOrThrow(schema, await getJson(path, token), 'MESH_INTERNAL', `answer of ${path}`);
  return {
    models: async () => (await get('/v1/models', modelsResponseSchema)).models,
    workers: async () => (await get('/v1/workers', workersResponseSchema)).workers,
    profiles: async () => (await get('/v1/profiles', profilesResponseSchema)).profiles,
    pareto: async () => (await get('/v1/pareto', paretoResponseSchema)).tasks,
    decisions: async (limit) =>
      (await get(`/v1/decisions?limit=${limit}`, decisionsResponseSchema)).decisions,
    decision: async (id) => await get(`/v1/decisions/${encodeURIComponent(id)}`, decisionSchema),
  };
}

async function getJson(path: string, token: string | undefined): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(path, {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (cause) {
    throw new MeshError(
      'MESH_NETWORK',
      `Nothing came from ${location.origin}: is "nearfar up" still running?`,
      {
        cause,
      },
    );
  }
  const body: unknown = await response.json().catch(() => undefined);
  if (response.ok) return body;
  const parsed = v.safeParse(errorBodySchema, body);
  if (parsed.success) throw MeshError.fromBody(parsed.output);
  throw new MeshError('MESH_INTERNAL', `GET ${path} was answered with HTTP ${response.status}`);
}
