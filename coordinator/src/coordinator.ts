import {
  type ArtifactStore,
  type BucketRule,
  type CoordinatorSideLink,
  ProfileBook,
  type RegisteredTask,
  TokenBuckets,
} from '@nearfar/core';
import { MeshError } from '@nearfar/protocol';
import { Hono } from 'hono';
import { cors } from 'hono/cors';
import { type Claims, requireRole, TokenGate } from './auth.ts';
import { ByteBudget } from './byte-budget.ts';
import { Catalog } from './catalog.ts';
import type { AppEnvironment, Context } from './context.ts';
import { DecisionLog } from './decisions.ts';
import { Fleet } from './fleet.ts';
import { Metrics } from './metrics.ts';
import type { CoordinatorOptions } from './options.ts';
import { adminRoutes } from './routes/admin.ts';
import { artifactRoutes } from './routes/artifacts.ts';
import { healthRoutes } from './routes/health.ts';
import { metricsRoutes } from './routes/metrics.ts';
import { oipRoutes } from './routes/oip.ts';
import { outcomeRoutes } from './routes/outcomes.ts';
import { pageRoutes } from './routes/pages.ts';
import { placementRoutes } from './routes/placements.ts';
import { taskRoutes } from './routes/tasks.ts';
import { isPageReporter, learnFromWorker } from './steps/learn.ts';

const DEFAULT_REPORT_EVERY_MS = 1_000;
const DEFAULT_CALLER_RATE: BucketRule = { ratePerSecond: 5_000, burst: 10_000 };
/** Callers choose what goes into these lines. */
const MAX_LOGGED_CHARACTERS = 2_000;
const DEFAULT_HELD_BYTES = 512 * 1024 * 1024;

/** A running coordinator. */
export interface Coordinator {
  /** The HTTP interface; every runtime serves its `fetch`. */
  readonly app: Hono<AppEnvironment>;
  /** Registers a task or replaces the one of that name, and sends its variants to the workers. */
  register(task: RegisteredTask): Promise<void>;
  /** The registered tasks, by name. */
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
  const book = new ProfileBook();
  const pageBook = new ProfileBook();
  for (const stored of await options.profiles.list()) {
    (isPageReporter(stored.reporter) ? pageBook : book).absorb(stored);
  }

  const running = new Set<Promise<unknown>>();
  const background = (what: string, work: Promise<unknown>) => {
    const watched = work
      .catch((error: unknown) => log('error', `${what} failed`, { error: String(error) }))
      .finally(() => running.delete(watched));
    running.add(watched);
  };
  const register = async (task: RegisteredTask) => {
    await catalog.put(task);
    context.fleet.assignAll();
    log('info', 'task registered', { task: task.task, variants: task.variants.length });
  };
  const context: Context = {
    options,
    catalog,
    book,
    pageBook,
    decisions: new DecisionLog(),
    metrics: new Metrics(),
    gate: new TokenGate(options.secret, clock),
    rates: new TokenBuckets(options.callerRate ?? DEFAULT_CALLER_RATE),
    bodies: new ByteBudget(options.maxHeldBytes ?? DEFAULT_HELD_BYTES),
    fleet: new Fleet({
      clock,
      log,
      reportEveryMs: options.reportEveryMs ?? DEFAULT_REPORT_EVERY_MS,
      embeddedIds: new Set(options.embeddedWorkerIds),
      variants: () => catalog.variants(),
      onProfiles: (workerId, reports) => learnFromWorker(context, workerId, reports),
    }),
    background,
  };

  let closing: Promise<void> | undefined;
  const close = async () => {
    context.fleet.close();
    await options.pictures.close();
    await Promise.all(running);
    await options.accounts.close();
    await Promise.all([options.registry.close(), options.profiles.close(), options.artifacts.close()]);
  };
  return {
    app: createApp(context),
    register,
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
      closing ??= close();
      return closing;
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
    metricsRoutes,
    pageRoutes,
  ]) {
    app.route('/', routes(context));
  }
  const answerError = (error: MeshError): Response => {
    metrics.error(error.code);
    // What is left of a body that was refused is not worth reading.
    const isUnread = error.code === 'MESH_BODY_TOO_LARGE' || error.code === 'MESH_BODY_TOO_SLOW';
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
