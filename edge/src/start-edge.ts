import type { Coordinator } from '@nearfar/coordinator';
import {
  type NodeCoordinator,
  type NodeCoordinatorOptions,
  startNodeCoordinator,
} from '@nearfar/coordinator/node';
import {
  type ArtifactSource,
  createWorker,
  systemClock,
  type Worker,
  type WorkerOptions,
} from '@nearfar/worker';
import { createInProcessLink } from './in-process-link.ts';
import { importManifest } from './registration/import-manifest.ts';
import { createRegistrar } from './registration/registrar.ts';

const DEFAULT_PORT = 8_787;
const EDGE_WORKER_ID = 'edge-1';
const RECONNECT_AFTER_MS = 500;

export interface EdgeOptions
  extends Omit<NodeCoordinatorOptions, 'port' | 'clock' | 'registrar'>,
    Pick<WorkerOptions, 'queueCapacity' | 'maxBatch'> {
  /** Port to listen on; default 8787, 0 takes a free one. */
  readonly port?: number;
  /** Paths of the manifests whose tasks are served. */
  readonly manifests: readonly string[];
  /** Batches that run on the CPU at the same time; default one less than the cores, at least 1. */
  readonly edgeSlots?: number;
}

/** A running edge: the HTTP endpoint and its CPU worker. */
export interface Edge {
  readonly url: string;
  readonly coordinator: Coordinator;
  readonly worker: Worker;
  /** Signs the tokens that this edge accepts. */
  readonly secret: Uint8Array;
  /** Ends the worker, then the endpoint. May be called twice. */
  close(): Promise<void>;
}

/**
 * Starts a coordinator and, in the same process, a CPU worker that is connected to it.
 *
 * Resolves as soon as it listens; variants become ready one after another after that (`GET /v2/health/ready`).
 */
export async function startEdge(options: EdgeOptions): Promise<Edge> {
  const { manifests, edgeSlots, queueCapacity, maxBatch, port = DEFAULT_PORT, ...rest } = options;
  const node = await startNodeCoordinator({
    ...rest,
    port,
    clock: systemClock,
    embeddedWorkerIds: [EDGE_WORKER_ID],
    registrar: createRegistrar(rest.stateDirectory),
  });
  try {
    for (const manifest of manifests) await importManifest(manifest, node.coordinator, rest.stateDirectory);
    const worker = await createWorker({
      workerId: EDGE_WORKER_ID,
      tier: 'edge',
      device: 'cpu',
      artifacts: artifactsOf(node),
      clock: systemClock,
      log: options.log,
      ...(edgeSlots === undefined ? {} : { slots: edgeSlots }),
      ...(queueCapacity === undefined ? {} : { queueCapacity }),
      ...(maxBatch === undefined ? {} : { maxBatch }),
    });
    const closing = new AbortController();
    embed(worker, node.coordinator, closing.signal);
    const { url, coordinator, secret } = node;
    let closed: Promise<void> | undefined;
    const close = () => {
      closing.abort();
      closed ??= worker.close().finally(() => node.close());
      return closed;
    };
    return { url, coordinator, worker, secret, close };
  } catch (error) {
    await node.close();
    throw error;
  }
}

/** Connects the worker with the coordinator, and again should the link ever end before the edge does. */
function embed(worker: Worker, coordinator: Coordinator, closing: AbortSignal): void {
  const link = createInProcessLink();
  coordinator.embedWorker(link.coordinatorSide);
  worker.connect(link.workerSide);
  link.workerSide.onClose(() => {
    if (closing.aborted) return;
    systemClock.sleep(RECONNECT_AFTER_MS, closing).then(
      () => embed(worker, coordinator, closing),
      () => undefined, // The edge closed meanwhile.
    );
  });
}

/** The coordinator's own files, read without HTTP. */
function artifactsOf(node: NodeCoordinator): ArtifactSource {
  return { fetch: (artifact) => node.coordinator.artifacts.read(artifact.sha256) };
}
