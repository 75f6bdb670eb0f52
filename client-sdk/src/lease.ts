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
  /** Ends what nobody waits for: renewals in the background. */
  readonly closing: AbortSignal;
}

/** How a caller asks for a lease. */
export interface LeaseRequest {
  /** Default: the request is ended when the mesh is closed. */
  readonly signal?: AbortSignal | undefined;
  /**
   * When the mesh grants none, whether a lease that has ended, without its remote options, will do: for any error of
   * the mesh, for one that may pass (the default), or for none.
   */
  readonly useEnded?: 'always' | 'if-retryable' | 'never';
}

interface Held {
  readonly lease: Lease;
  readonly askedAt: number;
  readonly endsAt: number;
  readonly payloadBytes: number;
  /** Class of the device that the lease's profiles are of. */
  readonly deviceClass: string | undefined;
}

/**
 * A lease that is used when it is older than this is renewed in the background: it still holds, but the load that it
 * tells of has moved on.
 */
const REFRESH_AFTER_MS = 2_500;

/**
 * Keeps a lease for each task and measures the way to the mesh by asking for them. Deciding waits for the network
 * only when there is no lease that holds: before the first request, and after a long pause.
 */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #held = new Map<string, Held>();
  readonly #asking = new SharedCalls<Lease, never>();

  constructor(options: LeasesOptions) {
    this.#options = options;
  }

  /** The lease that holds now, if there is one; it is renewed in the background once it is no longer fresh. */
  holding(task: string): Lease | undefined {
    const held = this.#held.get(task);
    const now = this.#options.now();
    if (held === undefined || now >= held.endsAt) return undefined;
    if (held.deviceClass !== this.#options.report(task)?.deviceClass) return undefined;
    // A renewal that fails shows when the lease has ended and the next one is waited for.
    if (now - held.askedAt > REFRESH_AFTER_MS) {
      this.#renew(task, held.payloadBytes, this.#options.closing).catch(() => undefined);
    }
    return held.lease;
  }

  /** What the last lease said of this page itself, however old: its prices and its class's profiles. */
  ended(task: string): Lease | undefined {
    const held = this.#held.get(task);
    return held === undefined ? undefined : { ...held.lease, remote: [] };
  }

  /**
   * A lease that holds now. While the mesh grants none, the one that has ended, without remote options, as far as
   * `useEnded` allows: this page may still answer by itself.
   */
  async get(
    task: string,
    payloadBytes: number,
    { signal = this.#options.closing, useEnded = 'if-retryable' }: LeaseRequest = {},
  ): Promise<Lease> {
    const holding = this.holding(task);
    if (holding !== undefined) return holding;
    try {
      return await this.#renew(task, payloadBytes, signal);
    } catch (error) {
      const ended = this.ended(task);
      const mayPass = error instanceof MeshError && error.retryable;
      const isEnough = useEnded === 'always' || (useEnded === 'if-retryable' && mayPass);
      if (ended === undefined || signal.aborted || !isEnough) throw error;
      return ended;
    }
  }

  #renew(task: string, payloadBytes: number, signal: AbortSignal): Promise<Lease> {
    return this.#asking.join(task, { signal }, (shared) => this.#ask(task, payloadBytes, shared));
  }

  async #ask(task: string, payloadBytes: number, signal: AbortSignal): Promise<Lease> {
    const { api, network, now, report } = this.#options;
    const device = report(task);
    const askedAt = now();
    const { lease } = await api.placement(
      { task, payloadBytes, network: { rtt: network.path.rtt }, ...(device !== undefined && { device }) },
      signal,
    );
    network.add(now() - askedAt);
    const endsAt = askedAt + lease.ttlMs;
    this.#held.set(task, { lease, askedAt, endsAt, payloadBytes, deviceClass: device?.deviceClass });
    return lease;
  }
}
