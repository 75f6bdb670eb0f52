import { type Lease, MeshError, type PlacementRequest } from '@nearfar/protocol';
import type { Api } from './api.ts';
import type { NetworkMeter } from './network.ts';
import { SharedCalls } from './shared-calls.ts';

/** What the mesh is told of this page's device when it is asked for a lease. */
export type DeviceReport = NonNullable<PlacementRequest['device']>;

/** What leases are made of. */
export interface LeasesOptions {
  readonly api: Pick<Api, 'placement'>;
  readonly network: NetworkMeter;
  readonly now: () => number;
  /** What this page can run of a task; undefined before anybody has looked. */
  readonly report: (task: string) => DeviceReport | undefined;
}

interface Held {
  readonly lease: Lease;
  readonly endsAt: number;
  /** Class of the device that the lease's profiles are of. */
  readonly deviceClass: string | undefined;
}

/** A lease is renewed in the background when less than this share of it is left. */
const RENEW_BELOW = 0.5;

/**
 * Keeps a lease for each task and measures the way to the mesh by asking for them. A lease that is half over is
 * renewed in the background, so that deciding waits for the network only before the first one, and after a pause.
 */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #held = new Map<string, Held>();
  readonly #asking = new SharedCalls<Lease, never>();

  constructor(options: LeasesOptions) {
    this.#options = options;
  }

  /**
   * A lease that holds now. While the mesh cannot be reached, one without remote options: this page may still answer
   * by itself.
   */
  async get(task: string, payloadBytes: number, signal?: AbortSignal): Promise<Lease> {
    const held = this.#held.get(task);
    const leftMs = held === undefined ? 0 : held.endsAt - this.#options.now();
    if (held !== undefined && leftMs > 0 && held.deviceClass === this.#options.report(task)?.deviceClass) {
      // A renewal that fails shows when the lease has ended and the next one is waited for.
      if (leftMs < RENEW_BELOW * held.lease.ttlMs) this.#renew(task, payloadBytes).catch(() => undefined);
      return held.lease;
    }
    try {
      return await this.#renew(task, payloadBytes, signal);
    } catch (error) {
      if (held === undefined || !(error instanceof MeshError) || error.code !== 'MESH_NETWORK') throw error;
      return { ...held.lease, remote: [] };
    }
  }

  #renew(task: string, payloadBytes: number, signal?: AbortSignal): Promise<Lease> {
    return this.#asking.join(task, { signal }, (shared) => this.#ask(task, payloadBytes, shared));
  }

  async #ask(task: string, payloadBytes: number, signal: AbortSignal): Promise<Lease> {
    const { api, network, now, report } = this.#options;
    const device = report(task);
    const startedAt = now();
    const { lease } = await api.placement(
      { task, payloadBytes, network: { rtt: network.path.rtt }, ...(device !== undefined && { device }) },
      signal,
    );
    network.add(now() - startedAt);
    this.#held.set(task, { lease, endsAt: startedAt + lease.ttlMs, deviceClass: device?.deviceClass });
    return lease;
  }
}
