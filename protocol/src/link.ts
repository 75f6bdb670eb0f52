import * as v from 'valibot';
import { errorBodySchema } from './errors.ts';
import { deviceClassSchema, nameSchema, opaqueIdSchema, workerIdSchema } from './ids.ts';
import { LIMITS } from './limits.ts';
import { variantSpecSchema } from './variant.ts';

/**
 * Version of the link. Peers with the same number understand each other; a field may be added within a version and
 * is ignored by a peer that does not know it. A hello with another number is answered by `MESH_PROTOCOL_MISMATCH`.
 */
export const LINK_PROTOCOL = 1;

/** WebSocket close codes of the link (4000 to 4999 are for applications). */
export const CLOSE_CODES = {
  badFrame: 4400,
  unauthenticated: 4401,
  idTaken: 4409,
  protocolMismatch: 4426,
  superseded: 4410,
  lost: 4408,
} as const;

const milliseconds = v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(24 * 3_600_000));
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const revision = v.pipe(v.number(), v.safeInteger(), v.minValue(1));

/** What runs a worker's variants. */
export const deviceSchema = v.object({
  kind: v.picklist(['cpu', 'cuda', 'webgpu']),
  deviceClass: deviceClassSchema,
  /** For people: what the driver or the system calls it. */
  description: v.pipe(v.string(), v.maxLength(256)),
});
export type Device = v.InferOutput<typeof deviceSchema>;

/** Named priorities that a load tells apart; less urgent ones count as the last of them. */
export const MAX_REPORTED_PRIORITIES = 16;

/** How busy a worker is. Travels in every reply, so that the chooser's view is corrected by the executor. */
export const loadSchema = v.object({
  /** Predicted milliseconds until a request that arrives now would start. */
  backlogMs: milliseconds,
  /** The same for one that is more urgent than all that waits; absent = not told. */
  runningMs: v.optional(milliseconds),
  /** The same for one of each named priority that waits, the most urgent first; see `priority` of a request. */
  ahead: v.optional(
    v.pipe(
      v.array(
        v.object({
          priority: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(255)),
          backlogMs: milliseconds,
        }),
      ),
      v.maxLength(MAX_REPORTED_PRIORITIES),
    ),
  ),
  waiting: count,
  running: count,
  /** Highest `sequence` of an `execute-request` that this load accounts for. */
  lastSequence: count,
  /** Round trip of the link as the worker measures it; absent in process. */
  rttMs: v.optional(milliseconds),
});
export type Load = v.InferOutput<typeof loadSchema>;

/** A variant in a worker and how far it is. Only `ready` ones are candidates. */
export const replicaSchema = v.object({
  task: nameSchema,
  variant: nameSchema,
  revision,
  state: v.picklist(['loading', 'ready', 'failed']),
  /** Why it failed. */
  reason: v.optional(v.pipe(v.string(), v.maxLength(1024))),
  loadMs: v.optional(milliseconds),
  memoryBytes: v.optional(count),
});
export type Replica = v.InferOutput<typeof replicaSchema>;

/** A latency sketch as data: sparse buckets of a log histogram (see `core/sketch`). */
export const sketchSchema = v.object({
  /** [bucket index, number of values] in rising order. */
  buckets: v.pipe(v.array(v.tuple([v.pipe(v.number(), v.safeInteger()), count])), v.maxLength(4096)),
  /** Sum of the values in milliseconds and of their squares, for mean and variance. */
  sum: v.pipe(v.number(), v.finite(), v.minValue(0)),
  sumOfSquares: v.pipe(v.number(), v.finite(), v.minValue(0)),
});
export type SketchData = v.InferOutput<typeof sketchSchema>;

/** What one reporter has measured of one variant at one batch size on one device class, all of it so far. */
export const profileReportSchema = v.object({
  task: nameSchema,
  variant: nameSchema,
  revision,
  deviceClass: deviceClassSchema,
  batch: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1024)),
  /** One life of the reporter; a restart begins a new epoch. */
  epoch: opaqueIdSchema,
  /** Grows with each report of the same epoch; the highest one holds. */
  version: count,
  computeMs: sketchSchema,
  /** Whole time from nothing to the end of the first run. */
  loadMs: v.optional(milliseconds),
  /** Its parts: fetching the files, creating the session, the first run (kernels and shaders are compiled in it). */
  downloadMs: v.optional(milliseconds),
  compileMs: v.optional(milliseconds),
  firstRunMs: v.optional(milliseconds),
  /** Memory that the variant holds when it is at rest. */
  memoryBytes: v.optional(count),
  /** Largest memory that it held during load and measured runs. */
  peakMemoryBytes: v.optional(count),
  /** Bytes of the variant's files, and of the runtime that had to be fetched for it (0 where it is installed). */
  modelBytes: v.optional(count),
  runtimeBytes: v.optional(count),
});
export type ProfileReport = v.InferOutput<typeof profileReportSchema>;

/** Worker → coordinator. */
export const workerMessageSchema = v.variant('type', [
  v.object({
    type: v.literal('worker-hello'),
    protocol: count,
    workerId: workerIdSchema,
    tier: v.picklist(['edge', 'pool']),
    device: deviceSchema,
    /** Batches that run at the same time. */
    slots: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(256)),
    /** Requests that may wait; more are refused with `MESH_QUEUE_FULL`. */
    queueCapacity: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(LIMITS.maxWorkerQueue)),
    /** Formats that it can run. */
    formats: v.array(v.picklist(['onnx', 'tfjs'])),
    /** What the worker costs; absent = the price book's rate for its tier and device. */
    usdPerHour: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(10_000))),
    /** Session to resume after a lost connection. */
    sessionId: v.optional(opaqueIdSchema),
  }),
  v.object({
    type: v.literal('load-report'),
    load: loadSchema,
    replicas: v.pipe(v.array(replicaSchema), v.maxLength(1024)),
  }),
  v.object({
    type: v.literal('profile-report'),
    reports: v.pipe(v.array(profileReportSchema), v.maxLength(256)),
  }),
  v.object({
    type: v.literal('execute-result'),
    requestId: opaqueIdSchema,
    /** From arrival at the worker to the start of its batch. */
    queueMs: milliseconds,
    /** The part of `queueMs` spent waiting for others to fill the batch. */
    batchWaitMs: milliseconds,
    computeMs: milliseconds,
    batchSize: v.pipe(v.number(), v.integer(), v.minValue(1)),
    /** Inputs of the batch that come before this request's own; with it the shares of a batch's cost add up exactly. */
    batchOffset: v.optional(count, 0),
    load: loadSchema,
  }),
  v.object({
    type: v.literal('execute-refused'),
    requestId: opaqueIdSchema,
    error: errorBodySchema,
    load: loadSchema,
  }),
  v.object({ type: v.literal('worker-drain'), reason: v.pipe(v.string(), v.maxLength(256)) }),
]);
export type WorkerMessage = v.InferOutput<typeof workerMessageSchema>;
export type WorkerHello = Extract<WorkerMessage, { type: 'worker-hello' }>;
export type ExecuteResult = Extract<WorkerMessage, { type: 'execute-result' }>;

/** Coordinator → worker. */
export const coordinatorMessageSchema = v.variant('type', [
  v.object({
    type: v.literal('worker-welcome'),
    protocol: count,
    sessionId: opaqueIdSchema,
    /** A load report is due at least this often; after three missed ones the worker counts as lost. */
    reportEveryMs: milliseconds,
    /** Requests that may be under way at once. */
    credits: v.pipe(v.number(), v.integer(), v.minValue(1)),
  }),
  v.object({ type: v.literal('variant-load'), spec: variantSpecSchema }),
  v.object({ type: v.literal('variant-unload'), task: nameSchema, variant: nameSchema, revision }),
  v.object({
    type: v.literal('execute-request'),
    /** Of this execution alone: a request that is executed again, also here, gets another. */
    requestId: opaqueIdSchema,
    /** Rises by one with each request on this session. */
    sequence: count,
    task: nameSchema,
    variant: nameSchema,
    revision,
    /** Milliseconds left until the answer is useless; work that cannot start in time is refused. */
    budgetMs: milliseconds,
    priority: count,
  }),
  v.object({ type: v.literal('execute-cancel'), requestId: opaqueIdSchema }),
  v.object({ type: v.literal('worker-drain'), reason: v.pipe(v.string(), v.maxLength(256)) }),
]);
export type CoordinatorMessage = v.InferOutput<typeof coordinatorMessageSchema>;
export type ExecuteRequest = Extract<CoordinatorMessage, { type: 'execute-request' }>;
