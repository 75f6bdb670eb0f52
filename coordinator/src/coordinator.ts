import {
  type ArtifactStore,
  type BucketRule,
  type CoordinatorSideLink,
  EscalationBook,
  HedgeBudget,
  LeaseLedger,
  type RegisteredTask,
  type TaskRecord,
  TokenBuckets,
} from '@nearfar/core';
import { type ErrorCode, MeshError, type Rollout } from '@nearfar/protocol';
import { Hono } from 'hono';
import { cors } from 'hono/cors';
import { type Claims, requireRole, TokenGate } from './auth.ts';
import { ByteBudget } from './byte-budget.ts';
import { Calibrations } from './calibrations.ts';
import { Catalog } from './catalog.ts';
import type { AppEnvironment, Context } from './context.ts';
import { DecisionLog } from './decisions.ts';
import { DominanceIndex } from './dominated.ts';
import { Fleet } from './fleet.ts';
import { FleetIndex } from './fleet-index.ts';
import type { FleetWorker } from './fleet-worker.ts';
import { Metrics } from './metrics.ts';
import type { CoordinatorOptions } from './options.ts';
import { measuredBy } from './pareto.ts';
import { DEFAULT_PLAN_EVERY_MS, Planner } from './planner.ts';
import { Registrations } from './registrations.ts';
import { Collector } from './rollout/collector.ts';
import { Rollouts } from './rollout/rollouts.ts';
import { ShadowLog } from './rollout/shadow-log.ts';
import { Usage } from './rollout/usage.ts';
import { adminRoutes } from './routes/admin.ts';
import { artifactRoutes } from './routes/artifacts.ts';
import { healthRoutes } from './routes/health.ts';
import { metricsRoutes } from './routes/metrics.ts';
import { modelRoutes } from './routes/models.ts';
import { oipRoutes } from './routes/oip.ts';
import { outcomeRoutes } from './routes/outcomes.ts';
import { pageRoutes } from './routes/pages.ts';
import { paretoRoutes } from './routes/pareto.ts';
import { placementRoutes } from './routes/placements.ts';
import { planRoutes } from './routes/plan.ts';
import { taskRoutes } from './routes/tasks.ts';
import { ShadowPrices } from './shadow-prices.ts';
import { learnFromWorker } from './steps/learn.ts';

const DEFAULT_REPORT_EVERY_MS = 1_000;
const DEFAULT_CALLER_RATE: BucketRule = { ratePerSecond: 5_000, burst: 10_000 };
/** Callers choose what goes into these lines. */
const MAX_LOGGED_CHARACTERS = 2_000;
/** Errors that come before all of a body was read. */
const UNREAD_CODES: readonly ErrorCode[] = ['MESH_BODY_TOO_LARGE', 'MESH_BODY_TOO_SLOW', 'MESH_STORAGE_FULL'];
const DEFAULT_HELD_BYTES = 512 * 1024 * 1024;

/** A running coordinator. */
export interface Coordinator {
  /** The HTTP interface; every runtime serves its `fetch`. */
  readonly app: Hono<AppEnvironment>;
  /**
   * Registers a revision of a task. The first one serves at once; one of the same source with equal variants as the active
   * one changes nothing; as the next one, only its `rollout` where one is given. Any other is loaded by the workers and takes
   * over as `rollout` says (default: all at once, as soon as it is warm). Its number, and those of variants with new files,
   * are raised where they were given before.
   *
   * @returns what the mesh holds of the task now.
   */
  register(task: RegisteredTask, rollout?: Rollout): Promise<TaskRecord>;
  /**
   * Lets the next revision answer everything, as soon as it is warm.
   *
   * @throws MeshError `MESH_UNKNOWN_TASK`, `MESH_BAD_REQUEST` when there is none.
   */
  promote(task: string): Promise<TaskRecord>;
  /**
   * Drops the next revision; where there is none, brings the previous one back, as soon as it is warm.
   *
   * @throws MeshError `MESH_UNKNOWN_TASK`, `MESH_NO_PREVIOUS_REVISION`.
   */
  rollback(task: string): Promise<TaskRecord>;
  /** All that the mesh holds of each task, by name. */
  records(): readonly TaskRecord[];
  /** The active revision of each task, by name. */
  tasks(): readonly RegisteredTask[];
  /**
   * Takes over the link of a worker whose token was checked.
   *
   * @throws MeshError `MESH_FORBIDDEN` when the token is not a worker's.
   */
  acceptWorker(link: CoordinatorSideLink, claims: Claims): void;
  /** Takes over the link of an edge worker inside this process, whose id is one of `embeddedWorkerIds`. */
  embedWorker(link: CoordinatorSideLink): void;
  /** Where registered tasks keep their files. */
  readonly artifacts: ArtifactStore;
  /** The connected workers. */
  readonly fleet: Fleet;
  /** Checks an `Authorization` header; drivers use it where a worker dials in. */
  identify(authorization: string | null | undefined): Promise<Claims>;
  /** Ends every session and closes the stores. May be called twice. */
  close(): Promise<void>;
}

/** Builds a coordinator and loads what its stores hold. It owns its options' stores from now on. */
export async function createCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const { clock, log } = options;
  const catalog = await Catalog.open(options.registry);
  const { workers: book, pages: pageBook } = measuredBy(await options.profiles.list());

  const closing = new AbortController();
  const running = new Set<Promise<unknown>>();
  const background = (what: string, work: Promise<unknown>) => {
    const watched = work
      .catch((error: unknown) => log('error', `${what} failed`, { error: String(error) }))
      .finally(() => running.delete(watched));
    running.add(watched);
  };
  const changed = (worker: FleetWorker | undefined) => worker && context.places.changed(worker);
  const calibrations = new Calibrations(clock, (workerId) => changed(context.fleet.find(workerId)));
  const usage = new Usage((task) => rollouts.drained(task));
  const registrations = new Registrations(() => collector.collect());
  const collector = new Collector({
    kept: () => rollouts.kept(),
    artifacts: options.artifacts,
    profiles: options.profiles,
    books: [book, pageBook, calibrations],
    isRegistering: () => registrations.count > 0,
    background,
  });
  const rollouts = new Rollouts({
    catalog,
    usage,
    book,
    workers: () => context.fleet.list(),
    assignAll: () => context.fleet.assignAll(),
    onForgotten: (gone) => collector.forget(gone),
    background,
    log,
  });
  const planner = new Planner({
    clock,
    log,
    catalog,
    book,
    prices: options.prices,
    solver: options.solver,
    planEveryMs: options.planEveryMs ?? DEFAULT_PLAN_EVERY_MS,
    planLoads: options.planLoads ?? false,
    workers: () => context.fleet.list(),
    variants: () => rollouts.variants(),
    assignAll: () => context.fleet.assignAll(),
    onPrices: (prices) => shadowPrices.setPlan(prices),
    closing: closing.signal,
    background,
  });
  const dominance = new DominanceIndex(book, clock);
  const shadowPrices = new ShadowPrices(clock, () => context.fleet.list());
  const context: Context = {
    options,
    catalog,
    book,
    pageBook,
    dominance,
    pageDominance: new DominanceIndex(pageBook, clock),
    calibrations,
    escalations: new EscalationBook(),
    leases: new LeaseLedger(),
    shadowPrices,
    places: new FleetIndex({
      clock,
      book,
      dominance,
      calibrations,
      prices: options.prices,
      shadowPrices,
      find: (workerId) => context.fleet.find(workerId),
    }),
    planner,
    decisions: new DecisionLog(),
    metrics: new Metrics(),
    hedges: new HedgeBudget(options.maxHedgeShare),
    gate: new TokenGate(options.secret, clock),
    rates: new TokenBuckets(options.callerRate ?? DEFAULT_CALLER_RATE),
    bodies: new ByteBudget(options.maxHeldBytes ?? DEFAULT_HELD_BYTES),
    fleet: new Fleet({
      clock,
      log,
      reportEveryMs: options.reportEveryMs ?? DEFAULT_REPORT_EVERY_MS,
      embeddedIds: new Set(options.embeddedWorkerIds),
      variants: (worker) => planner.variantsFor(worker),
      onChange: () => {
        rollouts.refresh();
        planner.wake();
      },
      onWorker: changed,
      onGone: (workerId) => context.places.gone(workerId),
      onProfiles: (workerId, reports) => learnFromWorker(context, workerId, reports),
    }),
    rollouts,
    usage,
    registrations,
    shadows: new ShadowLog(),
    closing: closing.signal,
    background,
  };

  let closed: Promise<void> | undefined;
  const close = async () => {
    closing.abort(new MeshError('MESH_DRAINING', 'The mesh is shutting down'));
    context.fleet.close();
    await options.pictures.close();
    await options.solver?.close();
    // What ends may begin something: a registration, the deletion of files that it kept.
    while (running.size > 0) await Promise.all(running);
    await options.accounts.close();
    await Promise.all([options.registry.close(), options.profiles.close(), options.artifacts.close()]);
  };
  return {
    app: createApp(context),
    register: (task, rollout) => rollouts.register(task, rollout),
    promote: (task) => rollouts.promote(task),
    rollback: (task) => rollouts.rollback(task),
    records: () => catalog.records(),
    tasks: () => catalog.list(),
    artifacts: options.artifacts,
    fleet: context.fleet,
    identify: (authorization) => context.gate.identify(authorization),
    acceptWorker: (link, claims) => {
      requireRole(claims, 'worker');
      context.fleet.accept(link, { tier: claims.tier ?? 'pool', isEmbedded: false });
    },
    embedWorker: (link) => context.fleet.accept(link, { tier: 'edge', isEmbedded: true }),
    close: () => {
      closed ??= close();
      return closed;
    },
  };
}

function createApp(context: Context): Hono<AppEnvironment> {
  const { options, metrics } = context;
  const app = new Hono<AppEnvironment>();
  app.use(async (http, next) => {
    http.set('arrivedAt', options.clock.now());
    await next();
  });
  const isAuthRequired = options.isAuthRequired ?? true;
  const origins = options.allowedOrigins ?? (isAuthRequired ? '*' : []);
  app.use(
    cors({
      origin: origins === '*' ? '*' : [...origins],
      allowHeaders: [
        'Authorization',
        'Content-Type',
        'Inference-Header-Content-Length',
        'Range',
        'If-None-Match',
      ],
      exposeHeaders: [
        'Inference-Header-Content-Length',
        'Retry-After',
        'ETag',
        'Content-Range',
        'Accept-Ranges',
      ],
      maxAge: 600,
    }),
  );
  for (const routes of [
    healthRoutes,
    oipRoutes,
    taskRoutes,
    placementRoutes,
    outcomeRoutes,
    artifactRoutes,
    adminRoutes,
    modelRoutes,
    paretoRoutes,
    planRoutes,
    metricsRoutes,
    pageRoutes,
  ]) {
    app.route('/', routes(context));
  }
  const answerError = (error: MeshError): Response => {
    metrics.error(error.code);
    // What is left of a body that was refused is not worth reading.
    const isUnread = UNREAD_CODES.includes(error.code);
    const retryAfter =
      error.retryAfterSeconds ?? (error.status === 503 || error.status === 429 ? 1 : undefined);
    return Response.json(error.toBody(), {
      status: error.status,
      headers: {
        ...(retryAfter !== undefined && { 'Retry-After': String(retryAfter) }),
        ...(isUnread && { Connection: 'close' }),
      },
    });
  };
  app.notFound((http) =>
    answerError(
      new MeshError(
        'MESH_NOT_FOUND',
        `There is nothing at ${http.req.method} ${http.req.path.slice(0, 128)}`,
      ),
    ),
  );
  app.onError((error, http) => {
    if (error instanceof MeshError) return answerError(error);
    options.log('error', 'request failed', {
      path: http.req.path.slice(0, MAX_LOGGED_CHARACTERS),
      error: (error.stack ?? String(error)).slice(0, MAX_LOGGED_CHARACTERS),
    });
    return answerError(new MeshError('MESH_INTERNAL', 'The mesh failed; its log says why'));
  });
  return app;
}
