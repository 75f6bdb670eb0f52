import { createToken } from '@nearfar/coordinator';
import { type Edge, type EdgeOptions, startEdge } from '@nearfar/edge';
import { startChildWorker } from '../child-process.ts';
import { logProblems, logToStandardError } from '../log.ts';
import { pagesDirectory, sampleManifests, samplePicture } from '../places.ts';
import { stopSignal } from '../stop-signal.ts';

interface UpOptions {
  readonly port: number;
  readonly host: string;
  readonly state: string;
  readonly manifest?: readonly string[];
  readonly poolWorkers: number;
  readonly edgeSlots?: number;
  readonly prices?: string;
  /** Seconds. */
  readonly planEvery: number;
  readonly planLoads?: boolean;
  readonly maxHedgeShare: number;
  readonly allowOrigin?: readonly string[];
  readonly auth: boolean;
  readonly quiet?: boolean;
}

const DAY_SECONDS = 24 * 3600;
const POLL_EVERY_MS = 100;
/** After this long without a variant that serves, the addresses are printed all the same. */
const READY_WITHIN_MS = 60_000;

/** `nearfar up`: serves until it is told to stop. */
export async function up(options: UpOptions): Promise<void> {
  const log = options.quiet ? logProblems : logToStandardError;
  const assetsDirectory = pagesDirectory();
  const edge = await listen({
    host: options.host,
    port: options.port,
    stateDirectory: options.state,
    manifests: options.manifest ?? sampleManifests(),
    isAuthRequired: options.auth,
    planEveryMs: options.planEvery * 1_000,
    planLoads: options.planLoads ?? false,
    maxHedgeShare: options.maxHedgeShare,
    log,
    ...(assetsDirectory !== undefined && { assetsDirectory }),
    ...(options.allowOrigin !== undefined && { allowedOrigins: options.allowOrigin }),
    ...(options.edgeSlots !== undefined && { edgeSlots: options.edgeSlots }),
    ...(options.prices !== undefined && { pricesFile: options.prices }),
  });
  const url = localUrl(edge.url);
  const stopping = stopSignal();
  let isStopping = false;
  const token = (role: 'client' | 'worker' | 'admin', subject: string) =>
    createToken(edge.secret, { role, subject, expiresInSeconds: DAY_SECONDS });
  const workerToken = await token('worker', 'local-pool');
  const workers = Array.from({ length: options.poolWorkers }, (_, index) => {
    const id = `local-pool-${index + 1}`;
    const child = startChildWorker({
      join: url,
      token: workerToken,
      id,
      isQuiet: options.quiet ?? false,
    });
    log('info', `pool worker process ${child.process.pid}`, { worker: id });
    void child.ended.then(() => {
      const { exitCode, signalCode } = child.process;
      log(isStopping ? 'info' : 'warn', 'pool worker process ended', { worker: id, exitCode, signalCode });
    });
    return child;
  });
  const end = await Promise.race([whenServing(edge), stopping]);
  if (end === undefined) {
    const tokens = { admin: await token('admin', 'developer'), client: await token('client', 'developer') };
    process.stdout.write(welcome(url, tokens, options.auth));
  }
  const signal = await stopping;
  isStopping = true;
  log('info', `${signal}: draining`);
  await Promise.all(workers.map((worker) => worker.stop()));
  await edge.close();
}

async function listen(options: EdgeOptions): Promise<Edge> {
  try {
    return await startEdge(options);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause;
    const message = `Port ${options.port} is taken: stop what listens there, or choose another with --port or PORT`;
    throw new Error(message, { cause });
  }
}

/** The mesh as this machine reaches it: an address that stands for every interface is none to call. */
function localUrl(listening: string): string {
  const url = new URL(listening);
  if (url.hostname === '0.0.0.0' || url.hostname === '[::]') url.hostname = '127.0.0.1';
  return url.origin;
}

/** Resolves as soon as a variant serves, so that what is printed then works. */
async function whenServing(edge: Edge): Promise<undefined> {
  const giveUpAt = performance.now() + READY_WITHIN_MS;
  while (performance.now() < giveUpAt) {
    const response = await edge.coordinator.app.request('/v2/health/ready');
    if (response.ok) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_EVERY_MS));
  }
}

function welcome(url: string, tokens: { admin: string; client: string }, isAuthRequired: boolean): string {
  const authorization = isAuthRequired ? ` -H 'Authorization: Bearer ${tokens.client}'` : '';
  const picture = samplePicture('digits', 'seven');
  const body = `-H 'Content-Type: image/png' --data-binary @${picture}`;
  return `
nearfar serves at ${url}  (tokens below are for development and end in 24 hours)

  console  ${url}/?token=${tokens.admin}
  demo     ${url}/demo?token=${tokens.client}
  curl     curl -s${authorization} ${body} '${url}/v1/tasks/digits/infer?slo_ms=100'

  More variants of a task, or one of your own: nearfar register <manifest.json>

`;
}
