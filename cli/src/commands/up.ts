import { createToken } from '@nearfar/coordinator';
import { startEdge } from '@nearfar/edge';
import { startChildWorker } from '../child-worker.ts';
import { logToStandardError } from '../log.ts';
import { pagesDirectory, sampleManifests } from '../places.ts';
import { stopSignal } from '../stop-signal.ts';

interface UpOptions {
  readonly port: number;
  readonly host: string;
  readonly state: string;
  readonly manifest?: readonly string[];
  readonly poolWorkers: number;
  readonly edgeSlots?: number;
  readonly prices?: string;
  readonly auth: boolean;
}

const DAY_SECONDS = 24 * 3600;

/** `nearfar up`: serves until it is told to stop. */
export async function up(options: UpOptions): Promise<void> {
  const manifests = options.manifest ?? sampleManifests();
  const assetsDirectory = pagesDirectory();
  const edge = await startEdge({
    host: options.host,
    port: options.port,
    stateDirectory: options.state,
    manifests: [...manifests],
    isAuthRequired: options.auth,
    log: logToStandardError,
    ...(assetsDirectory !== undefined && { assetsDirectory }),
    ...(options.edgeSlots !== undefined && { edgeSlots: options.edgeSlots }),
    ...(options.prices !== undefined && { pricesFile: options.prices }),
  });
  const workerToken = await createToken(edge.secret, {
    role: 'worker',
    subject: 'local-pool',
    expiresInSeconds: DAY_SECONDS,
  });
  const workers = Array.from({ length: options.poolWorkers }, (_, index) =>
    startChildWorker({ join: edge.url, token: workerToken, id: `local-pool-${index + 1}` }),
  );
  for (const { process } of workers) logToStandardError('info', `pool worker process ${process.pid}`);
  const admin = await createToken(edge.secret, {
    role: 'admin',
    subject: 'developer',
    expiresInSeconds: DAY_SECONDS,
  });
  const client = await createToken(edge.secret, {
    role: 'client',
    subject: 'developer',
    expiresInSeconds: DAY_SECONDS,
  });
  process.stdout.write(welcome(edge.url, admin, client, options.auth));

  const signal = await stopSignal();
  logToStandardError('info', `${signal}: draining`);
  await Promise.all(workers.map((worker) => worker.stop()));
  await edge.close();
}

function welcome(url: string, admin: string, client: string, isAuthRequired: boolean): string {
  const authorization = isAuthRequired ? ` -H 'Authorization: Bearer ${client}'` : '';
  return `
nearfar serves at ${url}  (tokens below are for development and end in 24 hours)

  console  ${url}/?token=${admin}
  demo     ${url}/demo?token=${client}
  curl     curl -s${authorization} -H 'Content-Type: image/png' --data-binary @models/digits/samples/seven.png '${url}/v1/tasks/digits/infer?slo_ms=100'

`;
}
