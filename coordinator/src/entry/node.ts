import { existsSync, mkdirSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { createAdaptorServer } from '@hono/node-server';
import type { Clock } from '@nearfar/core';
import { LIMITS, MeshError } from '@nearfar/protocol';
import { WebSocketServer } from 'ws';
import { requireRole } from '../auth.ts';
import { type Coordinator, createCoordinator } from '../coordinator.ts';
import { openAccountFile } from '../drivers/node/account-file.ts';
import { openArtifactFolder } from '../drivers/node/artifact-folder.ts';
import { openAssetFolder } from '../drivers/node/asset-folder.ts';
import { nodeClock } from '../drivers/node/clock.ts';
import { createHighsSolver } from '../drivers/node/highs-solver.ts';
import { createPictureThread } from '../drivers/node/picture-thread.ts';
import { openSqliteStores, type SqliteStores } from '../drivers/node/sqlite-stores.ts';
import { loadSecret, readPrices } from '../drivers/node/state-files.ts';
import { createWebSocketLink } from '../drivers/node/web-socket-link.ts';
import type { CoordinatorOptions, Log } from '../options.ts';

export { openArtifactFolder } from '../drivers/node/artifact-folder.ts';
export { nodeClock } from '../drivers/node/clock.ts';
export { loadSecret, readPrices } from '../drivers/node/state-files.ts';

/** File of registry and profiles in the state folder. */
const DATABASE = 'mesh.db';

/** A request may take this long to arrive: an artifact of 1 GiB over a line of 2.5 Mbit/s. */
const REQUEST_WITHIN_MS = 3_600_000;

/** How a coordinator on Node is set up. */
export interface NodeCoordinatorOptions
  extends Partial<
    Pick<
      CoordinatorOptions,
      | 'isAuthRequired'
      | 'allowedOrigins'
      | 'unknownCallerNetwork'
      | 'reportEveryMs'
      | 'callerRate'
      | 'maxHedgeShare'
      | 'maxHeldBytes'
      | 'embeddedWorkerIds'
      | 'planEveryMs'
      | 'planLoads'
      | 'registrar'
    >
  > {
  /** Address to listen on (default 127.0.0.1). */
  readonly host?: string;
  /** Port to listen on; 0 takes a free one. */
  readonly port: number;
  /** Where secret, registry, profiles, artifacts and accounts are kept; made when it is missing. */
  readonly stateDirectory: string;
  /** Built console and demo page; absent = no pages. */
  readonly assetsDirectory?: string;
  /** Price book to use instead of the package's own. */
  readonly pricesFile?: string;
  readonly clock?: Clock;
  readonly log: Log;
}

/** A coordinator that serves HTTP and takes in workers at `/v1/link`. */
export interface NodeCoordinator {
  readonly url: string;
  readonly coordinator: Coordinator;
  readonly secret: Uint8Array;
  /** Stops listening, ends every session and closes the stores. May be called twice. */
  close(): Promise<void>;
}

/** Starts a coordinator with SQLite, an artifact folder and an account file under `stateDirectory`. */
export async function startNodeCoordinator(options: NodeCoordinatorOptions): Promise<NodeCoordinator> {
  const { stateDirectory, log, clock = nodeClock } = options;
  await mkdir(stateDirectory, { recursive: true, mode: 0o700 });
  const secret = await loadSecret(stateDirectory);
  const {
    isAuthRequired,
    allowedOrigins,
    unknownCallerNetwork,
    reportEveryMs,
    callerRate,
    maxHedgeShare,
    maxHeldBytes,
    embeddedWorkerIds,
    registrar,
    planEveryMs,
    planLoads,
  } = options;
  const coordinator = await createCoordinator({
    clock,
    ...openSqliteStores(join(stateDirectory, DATABASE), clock.wallTime()),
    artifacts: openArtifactFolder(join(stateDirectory, 'artifacts'), clock.wallTime()),
    accounts: openAccountFile(join(stateDirectory, 'accounts.jsonl'), log),
    prices: await readPrices(options.pricesFile),
    secret,
    pictures: createPictureThread(),
    solver: createHighsSolver(),
    log,
    ...(options.assetsDirectory !== undefined && { assets: openAssetFolder(options.assetsDirectory) }),
    ...(isAuthRequired !== undefined && { isAuthRequired }),
    ...(allowedOrigins !== undefined && { allowedOrigins }),
    ...(unknownCallerNetwork !== undefined && { unknownCallerNetwork }),
    ...(reportEveryMs !== undefined && { reportEveryMs }),
    ...(callerRate !== undefined && { callerRate }),
    ...(maxHedgeShare !== undefined && { maxHedgeShare }),
    ...(maxHeldBytes !== undefined && { maxHeldBytes }),
    ...(embeddedWorkerIds !== undefined && { embeddedWorkerIds }),
    ...(registrar !== undefined && { registrar }),
    ...(planEveryMs !== undefined && { planEveryMs }),
    ...(planLoads !== undefined && { planLoads }),
  });
  const server = createAdaptorServer({ fetch: coordinator.app.fetch }) as Server;
  server.requestTimeout = REQUEST_WITHIN_MS;
  const sockets = acceptLinks(server, coordinator, log);
  try {
    await listen(server, options.port, options.host ?? '127.0.0.1');
  } catch (error) {
    await coordinator.close();
    throw error;
  }
  const { address, family, port } = server.address() as AddressInfo;
  let closing: Promise<void> | undefined;
  const close = async () => {
    const stopped = new Promise<void>((resolve) => server.close(() => resolve()));
    await coordinator.close();
    for (const socket of sockets.clients) socket.terminate();
    server.closeAllConnections();
    await stopped;
  };
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
    coordinator,
    secret,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

/** Whether a state directory has a registry. */
export function hasRegistry(stateDirectory: string): boolean {
  return existsSync(join(stateDirectory, DATABASE));
}

/** Registry and profiles of a state directory, for tools that work on it while no mesh runs; made where there are none. */
export function openStores(stateDirectory: string): SqliteStores {
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  return openSqliteStores(join(stateDirectory, DATABASE), nodeClock.wallTime());
}

/**
 * Takes in workers at `/v1/link`. They always show a token, also where callers need none: a worker sees payloads and
 * gives answers. It is checked before the connection becomes a WebSocket.
 */
function acceptLinks(server: Server, coordinator: Coordinator, log: Log): WebSocketServer {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: LIMITS.maxFrameBytes,
    perMessageDeflate: false,
  });
  const upgrade = async (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const [path = '/'] = (request.url ?? '/').split('?', 1);
    if (path !== '/v1/link')
      throw new MeshError('MESH_NOT_FOUND', `There is no link at ${path.slice(0, 128)}`);
    const claims = await coordinator.identify(request.headers.authorization);
    requireRole(claims, 'worker');
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      coordinator.acceptWorker(createWebSocketLink(webSocket), claims);
    });
  };
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    upgrade(request, socket, head).catch((cause: unknown) => {
      const error =
        cause instanceof MeshError ? cause : new MeshError('MESH_INTERNAL', 'The mesh failed', { cause });
      if (error !== cause) log('error', 'link upgrade failed', { error: String(cause) });
      const body = JSON.stringify(error.toBody());
      // Node leaves a socket that asked for an upgrade to us: no time-out of its own would ever end it.
      socket.end(
        `HTTP/1.1 ${error.status} ${error.code}\r\nContent-Type: application/json\r\n` +
          `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
        () => socket.destroy(),
      );
    });
  });
  return sockets;
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
