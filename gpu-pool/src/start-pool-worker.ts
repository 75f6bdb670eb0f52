import { hostname } from 'node:os';
import type { Clock, LinkEnd } from '@nearfar/core';
import { CLOSE_CODES, MeshError } from '@nearfar/protocol';
import { createWorker, type Log, systemClock, type Worker, type WorkerOptions } from '@nearfar/worker';
import { artifactDownload } from './artifact-download.ts';
import { dial } from './dial.ts';
import { parseJoinUrl } from './join-url.ts';
import { SocketLink } from './socket-link.ts';

/** WebSocket close code of an end that was meant (RFC 6455, section 7.4.1). */
const NORMAL_END = 1_000;
const FIRST_BACKOFF_MS = 250;
const LONGEST_BACKOFF_MS = 10_000;

/** A worker that connects again and again cannot mend these by itself. */
const FINAL_CODES: readonly string[] = ['MESH_UNAUTHENTICATED', 'MESH_FORBIDDEN', 'MESH_PROTOCOL_MISMATCH'];

export interface PoolWorkerOptions
  extends Pick<WorkerOptions, 'device' | 'slots' | 'queueCapacity' | 'maxBatch' | 'usdPerHour'> {
  /** Address of the mesh: its http(s) or ws(s) URL. */
  readonly join: string;
  /** A token of role worker. */
  readonly token: string;
  /** Default: the host's name and a random suffix, so that two workers of one host differ. */
  readonly workerId?: string;
  readonly log: Log;
  readonly clock?: Clock;
  /** 0 up to, not including, 1; default `Math.random`. */
  readonly random?: () => number;
}

export interface PoolWorker {
  readonly worker: Worker;
  readonly workerId: string;
  /** Resolves when the worker has ended; rejects when the mesh will never take it (wrong token or protocol). */
  readonly closed: Promise<void>;
  /** Finishes what is queued, refuses what is new, then ends. */
  drain(reason: string): Promise<void>;
  /** Ends at once. May be called twice. */
  close(): Promise<void>;
}

/** Starts a worker and keeps it connected to a mesh. Resolves when its device is found, before it is connected. */
export async function startPoolWorker(options: PoolWorkerOptions): Promise<PoolWorker> {
  const { join, token, log, clock = systemClock, random = Math.random } = options;
  const urls = parseJoinUrl(join);
  const workerId = options.workerId ?? defaultWorkerId();
  const { device, slots, queueCapacity, maxBatch, usdPerHour } = options;
  const worker = await createWorker({
    workerId,
    tier: 'pool',
    device,
    artifacts: artifactDownload(urls.artifacts, token),
    clock,
    log,
    ...(slots === undefined ? {} : { slots }),
    ...(queueCapacity === undefined ? {} : { queueCapacity }),
    ...(maxBatch === undefined ? {} : { maxBatch }),
    ...(usdPerHour === undefined ? {} : { usdPerHour }),
  });
  for (const finding of worker.findings) log('info', finding);

  const stopping = new AbortController();
  void worker.ended.then(() => stopping.abort());
  const connected = stayConnected({
    url: urls.link,
    token,
    worker,
    log,
    clock,
    random,
    signal: stopping.signal,
  });
  const closed = connected.finally(() => worker.close());
  // Whoever wants to know waits for `closed`; nobody has to.
  closed.catch((error: unknown) => log('error', 'the worker gave up', { reason: String(error) }));
  const close = async () => {
    stopping.abort();
    await worker.close();
    await Promise.allSettled([closed]);
  };
  const drain = async (reason: string) => {
    await worker.drain(reason);
    await close();
  };
  return { worker, workerId, closed, drain, close };
}

interface Connection {
  readonly url: URL;
  readonly token: string;
  readonly worker: Worker;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: () => number;
  readonly signal: AbortSignal;
}

/** Dials, serves until the link ends, and again; resolves when the signal aborts, rejects when it is of no use. */
async function stayConnected(connection: Connection): Promise<void> {
  const { url, token, worker, log, clock, random, signal } = connection;
  let failures = 0;
  while (!signal.aborted) {
    try {
      const socket = await dial(url, token, signal);
      const link = new SocketLink(socket, () => clock.now());
      log('info', 'connected to the mesh', { mesh: url.host });
      const connectedAt = clock.now();
      const end = await serve(worker, link);
      // A mesh that accepts and at once closes is not healthy: only a lasting connection resets the backoff.
      if (clock.now() - connectedAt > LONGEST_BACKOFF_MS) failures = 0;
      if (signal.aborted) return;
      log(end.code === NORMAL_END ? 'info' : 'warn', 'the link ended', { ...end });
      throwReason(end);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof MeshError && FINAL_CODES.includes(error.code)) throw error;
      if (error instanceof MeshError) log('warn', error.message, { code: error.code });
      else throw error;
    }
    const ceilingMs = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** failures);
    failures = Math.min(failures + 1, 16);
    try {
      // Half fixed, half random: workers that lost the same mesh do not come back at the same moment.
      await clock.sleep(ceilingMs * (0.5 + random() / 2), signal);
    } catch {
      return; // Stopped while waiting.
    }
  }
}

function serve(worker: Worker, link: SocketLink): Promise<LinkEnd> {
  return new Promise((resolve) => {
    worker.connect(link, { rttMs: () => link.rttMs });
    link.onClose(resolve);
  });
}

/** Some ends have a reason with a code of its own. */
function throwReason({ code, reason }: LinkEnd): void {
  if (code === CLOSE_CODES.unauthenticated) throw new MeshError('MESH_UNAUTHENTICATED', reason);
  if (code === CLOSE_CODES.idTaken) throw new MeshError('MESH_WORKER_ID_TAKEN', reason);
  if (code === CLOSE_CODES.protocolMismatch) throw new MeshError('MESH_PROTOCOL_MISMATCH', reason);
}

function defaultWorkerId(): string {
  const host = hostname()
    .replace(/[^A-Za-z0-9.-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 64);
  return `${host || 'worker'}-${crypto.randomUUID().slice(0, 8)}`;
}
