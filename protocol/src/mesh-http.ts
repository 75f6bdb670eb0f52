import * as v from 'valibot';
import { deviceClassSchema, nameSchema, opaqueIdSchema, tierSchema } from './ids.ts';
import { LIMITS } from './limits.ts';
import { profileReportSchema } from './link.ts';
import { imagePreprocessSchema, postprocessSchema } from './manifest.ts';
import { parametersSchema } from './parameters.ts';
import { rolloutEntries } from './rollout.ts';
import { rejectedVariantSchema, variantSpecSchema } from './variant.ts';

const milliseconds = v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(LIMITS.maxSloMs));
const bytes = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const revision = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const picoUsd = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** No time that anybody measures or predicts is longer than a day. */
const MAX_MS = 24 * 3_600_000;

/** Mean and variance of a time in milliseconds. */
export const momentsSchema = v.object({
  meanMs: v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(MAX_MS)),
  varianceMs2: v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(MAX_MS * MAX_MS)),
});
export type Moments = v.InferOutput<typeof momentsSchema>;

/** How the caller reaches the mesh, as it measured it. */
export const networkReportSchema = v.object({
  rtt: momentsSchema,
  /** Bytes a millisecond from the caller to the mesh and back; absent = unknown. */
  uplinkBytesPerMs: v.optional(v.pipe(v.number(), v.minValue(0.001), v.maxValue(1e9))),
});

/** What a page can run, as it says: hints, never trusted for anything but its own requests. */
export const deviceReportSchema = v.object({
  deviceClass: deviceClassSchema,
  /** Variants that passed the self-test on this device and are warm. */
  ready: v.pipe(v.array(v.object({ variant: nameSchema, revision })), v.maxLength(64)),
  /** Wait in the page's own queue. */
  backlogMs: v.optional(milliseconds, 0),
  /** Hidden page, battery saver or data saver: the page asks not to be used. */
  isSaving: v.optional(v.boolean(), false),
});

const leaseId = v.pipe(v.string(), v.maxLength(2048));

const leasedRequests = v.pipe(bytes, v.maxValue(LIMITS.maxLeaseRequests));

/** A place where so many requests of a page would have gone, had only what calibration made of its latency not kept them away. */
export const passedOverSchema = v.object({
  variant: nameSchema,
  revision,
  tier: v.picklist(['edge', 'pool']),
  worker: v.pipe(v.string(), v.maxLength(128)),
  deviceClass: deviceClassSchema,
  requests: leasedRequests,
});
export type PassedOverReport = v.InferOutput<typeof passedOverSchema>;

/** What a page did under a lease that it is done with. */
export const leaseReportSchema = v.object({
  id: leaseId,
  /** Requests that it decided to send to the mesh; its own runs are outcomes. */
  remoteRequests: leasedRequests,
  passedOver: v.optional(v.pipe(v.array(passedOverSchema), v.maxLength(LIMITS.maxPassedOver))),
});
export type LeaseReport = v.InferOutput<typeof leaseReportSchema>;

/** `POST /v1/placements`: where should this run? No payload travels. */
export const placementRequestSchema = v.object({
  task: nameSchema,
  parameters: v.optional(parametersSchema, {}),
  payloadBytes: v.pipe(bytes, v.maxValue(LIMITS.maxBodyBytes)),
  device: v.optional(deviceReportSchema),
  network: v.optional(networkReportSchema),
  /** The lease of this task that the new one takes the place of. */
  lease: v.optional(leaseReportSchema),
});
export type PlacementRequest = v.InferInput<typeof placementRequestSchema>;

const leasedPartsEntries = {
  /** Link between coordinator and worker. */
  link: momentsSchema,
  wait: momentsSchema,
  compute: momentsSchema,
};

/** A remote (variant, worker) as a lease carries it; the page adds its own network to it. */
export const leasedOptionSchema = v.object({
  variant: nameSchema,
  revision,
  model: nameSchema,
  tier: v.picklist(['edge', 'pool']),
  worker: v.string(),
  deviceClass: deviceClassSchema,
  accuracy: v.number(),
  ...leasedPartsEntries,
  /** The same before any calibration; absent = there is none. */
  uncorrected: v.optional(v.object(leasedPartsEntries)),
  costPicoUsd: picoUsd,
  worstCostPicoUsd: picoUsd,
  /** Another variant is better by itself; it is here as a cascade's stage. */
  isOnlyStage: v.optional(v.boolean()),
});
export type LeasedOption = v.InferOutput<typeof leasedOptionSchema>;

/** What a page's own variants are predicted to take on its device class, from everyone's measurements. */
export const leasedProfileSchema = v.object({
  variant: nameSchema,
  revision,
  compute: momentsSchema,
  samples: bytes,
});

/** Prices that a page needs in order to cost its own work. */
export const leasedPricesSchema = v.object({
  energyPicoUsdPerMs: v.pipe(v.number(), v.minValue(0)),
  artifactPicoUsdPerByte: v.pipe(v.number(), v.minValue(0)),
  expectedReuse: v.pipe(v.number(), v.minValue(1)),
});
export type LeasedPrices = v.InferOutput<typeof leasedPricesSchema>;

/** Prices of scarce capacity, by tier and device class; what is not named has none. */
export const priceTableSchema = v.object({
  /** Grows with each change; prices of another epoch are not to be mixed with these. */
  epoch: bytes,
  prices: v.pipe(
    v.array(
      v.object({
        tier: tierSchema,
        deviceClass: deviceClassSchema,
        /** Picodollars of one busy millisecond. */
        picoUsdPerMs: v.pipe(v.number(), v.finite(), v.minValue(0)),
      }),
    ),
    v.maxLength(LIMITS.maxLeasedPrices),
  ),
});
export type PriceTable = v.InferOutput<typeof priceTableSchema>;

/** How often a cascade needs its large stage for this caller's inputs, 0 to 1. */
export const leasedEscalationSchema = v.object({
  variant: nameSchema,
  revision,
  rate: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
});

/** Time-bounded right to decide locally, with all that the decision needs. */
export const leaseSchema = v.object({
  id: leaseId,
  ttlMs: v.pipe(v.number(), v.minValue(0), v.maxValue(LIMITS.maxLeaseTtlMs)),
  /** Of the task, as it is active on the mesh; absent = the mesh does not tell. */
  revision: v.optional(revision),
  /** Requests that may be sent to the mesh under it; what the page runs itself is not counted. Absent = any number. */
  maxRequests: v.optional(leasedRequests),
  remote: v.array(leasedOptionSchema),
  profiles: v.array(leasedProfileSchema),
  /** Of the page's own work. */
  prices: leasedPricesSchema,
  /** Of scarce capacity; absent = none. Newer ones may come with the answer to a report. */
  shadowPrices: v.optional(priceTableSchema),
  /** Absent for a cascade: as it was measured when it was made. */
  escalations: v.optional(v.array(leasedEscalationSchema)),
});
export type Lease = v.InferOutput<typeof leaseSchema>;

/** Where a request ran or should run, and what that was predicted to take and cost. */
export const placementSchema = v.object({
  tier: tierSchema,
  variant: nameSchema,
  worker: v.string(),
  accuracy: v.number(),
  predicted_ms: v.number(),
  cost_usd: v.number(),
  decision_id: opaqueIdSchema,
});
export type PlacementBody = v.InferOutput<typeof placementSchema>;

/** Answer of `POST /v1/placements`. `placement` is null when nothing is feasible; `refusal` then says why. */
export const placementResponseSchema = v.object({
  placement: v.nullable(placementSchema),
  refusal: v.optional(
    v.object({ error: v.string(), code: v.string(), details: v.optional(v.record(v.string(), v.unknown())) }),
  ),
  lease: leaseSchema,
});
export type PlacementResponse = v.InferOutput<typeof placementResponseSchema>;

/** A latency in parts, as an explanation shows it. */
const partsSchema = v.object({
  network: momentsSchema,
  queue: momentsSchema,
  compute: momentsSchema,
  load: momentsSchema,
});

/** A candidate of a decision with its numbers and why it was not taken: one line of an explanation. */
export const candidateSchema = v.object({
  variant: nameSchema,
  tier: tierSchema,
  worker: v.pipe(v.string(), v.maxLength(128)),
  deviceClass: deviceClassSchema,
  accuracy: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
  /** What the request had spent when it was decided, in milliseconds. */
  spentMs: v.pipe(v.number(), v.minValue(0)),
  /** What was to follow. */
  parts: partsSchema,
  /** Predicted mean of the whole latency: what was spent and every part. */
  predictedMs: v.pipe(v.number(), v.minValue(0)),
  /** Latency that a share `slo_target` of requests stays below; null = without bound. */
  tailMs: v.nullable(v.pipe(v.number(), v.minValue(0))),
  /** P(latency ≤ deadline), 0 to 1. */
  onTimeProbability: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
  costUsd: v.pipe(v.number(), v.minValue(0)),
  worstCostUsd: v.pipe(v.number(), v.minValue(0)),
  /** Of a cascade, whose tier, worker and parts are its small stage's: the large one, and how often it is needed. */
  second: v.optional(
    v.object({
      /** Probability that the request goes on to it, 0 to 1. */
      rate: v.pipe(v.number(), v.minValue(0), v.maxValue(1)),
      variant: nameSchema,
      tier: tierSchema,
      worker: v.pipe(v.string(), v.maxLength(128)),
      deviceClass: deviceClassSchema,
      parts: partsSchema,
      costUsd: v.pipe(v.number(), v.minValue(0)),
      worstCostUsd: v.pipe(v.number(), v.minValue(0)),
    }),
  ),
  verdict: v.picklist(['chosen', 'feasible', 'infeasible']),
  /** Why it is not feasible; empty when it is. */
  reasons: v.pipe(
    v.array(
      v.object({ code: v.pipe(v.string(), v.maxLength(64)), message: v.pipe(v.string(), v.maxLength(1024)) }),
    ),
    v.maxLength(16),
  ),
});
export type Candidate = v.InferOutput<typeof candidateSchema>;

/** One finished request of a page. It never holds a payload. */
export const outcomeSchema = v.object({
  task: nameSchema,
  variant: nameSchema,
  revision,
  tier: tierSchema,
  deviceClass: v.optional(deviceClassSchema),
  leaseId: v.optional(leaseId),
  decisionId: opaqueIdSchema,
  privacy: v.optional(v.picklist(['any', 'no_pool', 'local_only']), 'any'),
  status: v.picklist(['ok', 'failed', 'cancelled']),
  sloMs: v.optional(milliseconds),
  predictedMs: milliseconds,
  totalMs: milliseconds,
  queueMs: v.optional(milliseconds),
  computeMs: v.optional(milliseconds),
  /** Of a run that was a cascade's small stage: whether the input went on to the large one. */
  cascade: v.optional(v.object({ variant: nameSchema, revision, isEscalated: v.boolean() })),
  /** What the page weighed, where its caller asked it to explain. */
  candidates: v.optional(v.pipe(v.array(candidateSchema), v.maxLength(LIMITS.maxCandidates)), []),
});
export type Outcome = v.InferOutput<typeof outcomeSchema>;

/** `POST /v1/outcomes`: what a page did by itself, and what it measured of its device. */
export const outcomesRequestSchema = v.object({
  outcomes: v.pipe(v.array(outcomeSchema), v.maxLength(LIMITS.maxOutcomes)),
  profiles: v.optional(v.pipe(v.array(profileReportSchema), v.maxLength(LIMITS.maxOutcomes)), []),
  /** Leases that a page which goes will not renew. */
  leases: v.optional(v.pipe(v.array(leaseReportSchema), v.maxLength(LIMITS.maxLeaseReports)), []),
  /** Epoch of the shadow prices that the page decides by; absent = it wants none. */
  priceEpoch: v.optional(bytes),
});
export type OutcomesRequest = v.InferInput<typeof outcomesRequestSchema>;

/** Answer of `POST /v1/outcomes`: how many items counted, and the prices where the page's are of another epoch. */
export const outcomesResponseSchema = v.object({
  outcomes: bytes,
  profiles: bytes,
  prices: v.optional(priceTableSchema),
});
export type OutcomesResponse = v.InferOutput<typeof outcomesResponseSchema>;

/** `GET /v1/models`: tasks and their variants, as pages and the console need them. */
export const taskInfoSchema = v.object({
  task: nameSchema,
  kind: v.string(),
  labels: v.array(v.string()),
  preprocess: v.optional(imagePreprocessSchema),
  postprocess: v.optional(postprocessSchema),
  defaults: parametersSchema,
  /** Grows by one with each registration that changed something. */
  revision: v.optional(revision, 1),
  /** ISO 8601, UTC. */
  registeredAt: v.optional(v.string()),
  variants: v.array(v.object({ ...variantSpecSchema.entries, tiers: v.array(tierSchema) })),
  /** What was made or supplied and is not served, with the reasons. */
  rejected: v.optional(v.array(rejectedVariantSchema), []),
  /** A newer revision on its way, and the one that a rollback brings back. */
  rollout: v.optional(
    v.object({
      ...rolloutEntries,
      revision,
      state: v.picklist(['warming', 'serving']),
      /** Of `shadow`: requests that both revisions ran, how many they answered alike, and those that gave no comparison. */
      shadow: v.optional(v.object({ compared: bytes, agreed: bytes, skipped: bytes, failed: bytes })),
    }),
  ),
  previousRevision: v.optional(revision),
});
export type TaskInfo = v.InferOutput<typeof taskInfoSchema>;
/** A variant's line of the Pareto table: what it is worth, and where another one makes it not worth choosing. */
export const paretoLineSchema = v.object({
  variant: nameSchema,
  /** Bytes of its files; those of a cascade are its stages'. */
  sizeBytes: bytes,
  cells: v.array(
    v.object({
      deviceClass: deviceClassSchema,
      /** One input at a time, in milliseconds. */
      p50Ms: v.number(),
      p99Ms: v.number(),
      samples: bytes,
      /** What a thousand requests cost, in each tier that has such a device. */
      costs: v.array(v.object({ tier: tierSchema, usdPer1000: v.number() })),
      dominatedBy: v.optional(nameSchema),
    }),
  ),
});
export type ParetoLineBody = v.InferOutput<typeof paretoLineSchema>;

/** `GET /v1/pareto`: the table of every task. */
export const paretoResponseSchema = v.object({
  tasks: v.array(v.object({ task: nameSchema, lines: v.array(paretoLineSchema) })),
});

export const modelsResponseSchema = v.object({ models: v.array(taskInfoSchema) });

/** A label with its score, 0 to 1 after the activation, and for detections where it is. */
export interface Prediction {
  readonly label: string;
  readonly score: number;
  /** Corners x0, y0, x1, y1 as shares of width and height, 0 to 1. */
  readonly box?: readonly [number, number, number, number];
}
