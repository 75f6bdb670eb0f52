import type { PlacedVariant } from '@nearfar/core';
import {
  type Lease,
  type LeaseReport,
  LIMITS,
  MeshError,
  type PassedOverReport,
  type PlacementRequest,
  type PriceTable,
} from '@nearfar/protocol';
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
  /** Called with the revision that a task has on the mesh, with each lease that tells one. */
  readonly onRevision?: (task: string, revision: number) => void;
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
  lease: Lease;
  readonly askedAt: number;
  readonly endsAt: number;
  readonly payloadBytes: number;
  /** Class of the device that the lease's profiles are of. */
  readonly deviceClass: string | undefined;
  /** Requests that were sent to the mesh under it. */
  sent: number;
  /** Requests that its places missed for their calibration alone, by place; the first `LIMITS.maxPassedOver` of these. */
  passedOver: Map<string, PassedOverReport>;
}

/**
 * A lease that is used when it is older than this is renewed in the background: it still holds, but the load that it
 * tells of has moved on.
 */
const REFRESH_AFTER_MS = 2_500;
/** One of which this share was used is renewed too, so that the next one is here before it is used up. */
const REFRESH_AFTER_SHARE = 0.5;
/** But not sooner than this: a mesh without capacity is not asked twice for each request. */
const REFILL_AFTER_MS = 250;

/**
 * Keeps a lease for each task and measures the way to the mesh by asking for them. Deciding waits for the network
 * only when there is no lease that holds: before the first request, and after a long pause; and when the mesh is to be
 * asked more often than the lease allows.
 */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #held = new Map<string, Held>();
  /** One table for all tasks: prices of different epochs are not to be weighed against each other. */
  #prices: PriceTable | undefined;
  readonly #asking = new SharedCalls<Lease, never>();

  constructor(options: LeasesOptions) {
    this.#options = options;
  }

  /** The lease that holds now, if there is one; it is renewed in the background once it is no longer fresh or half used. */
  holding(task: string): Lease | undefined {
    const held = this.#held.get(task);
    if (held === undefined || this.#options.now() >= held.endsAt) return undefined;
    if (held.deviceClass !== this.#options.report(task)?.deviceClass) return undefined;
    // A renewal that fails shows when the lease has ended and the next one is waited for.
    if (this.#isOlder(held, REFRESH_AFTER_MS) || (isHalfUsed(held) && this.#isOlder(held, REFILL_AFTER_MS))) {
      this.#renew(task, held.payloadBytes, this.#options.closing).catch(() => undefined);
    }
    return held.lease;
  }

  /** Counts a request that goes to the mesh by this page's decision. */
  countSent(task: string): void {
    const held = this.#held.get(task);
    if (held !== undefined) held.sent += 1;
  }

  /**
   * Notes that a request would have gone to these places, had their calibration not said that it would be late: the mesh is
   * told with the next lease, since nothing else tells it that nobody goes there any more.
   */
  countPassedOver(task: string, places: readonly PlacedVariant[]): void {
    const passedOver = this.#held.get(task)?.passedOver;
    for (const { variant, revision, tier, deviceClass, worker } of places) {
      if (tier === 'browser' || passedOver === undefined) continue;
      const name = `${variant} ${revision} ${worker}`;
      const requests = Math.min(LIMITS.maxLeaseRequests, (passedOver.get(name)?.requests ?? 0) + 1);
      if (requests === 1 && passedOver.size >= LIMITS.maxPassedOver) continue;
      passedOver.set(name, { variant, revision, tier, deviceClass, worker, requests });
    }
  }

  /** Whether as many requests were sent to the mesh under the task's lease as that allows. */
  isUsedUp(task: string): boolean {
    const held = this.#held.get(task);
    return held !== undefined && held.sent >= (held.lease.maxRequests ?? Number.POSITIVE_INFINITY);
  }

  /**
   * Asks for a lease with requests left, where the one at hand is used up; undefined when it is not, or when the mesh was
   * asked a moment ago. What that then gives may be none either: the mesh decides about each request by itself then.
   */
  refill(task: string, payloadBytes: number): Promise<Lease> | undefined {
    const held = this.#held.get(task);
    if (held === undefined || !this.isUsedUp(task) || !this.#isOlder(held, REFILL_AFTER_MS)) return undefined;
    return this.#renew(task, payloadBytes, this.#options.closing);
  }

  /** The epoch of the prices that the page decides by; undefined before the first. */
  get priceEpoch(): number | undefined {
    return this.#prices?.epoch;
  }

  /**
   * Takes in prices that the mesh gave when it was told of the epoch `known`: the page goes on with them under every lease.
   * Where others came meanwhile, those of the higher epoch count; where none did, these are newer whatever their epoch,
   * since a mesh that was started again counts anew.
   */
  setPrices(prices: PriceTable, known: number | undefined): void {
    const epoch = this.priceEpoch;
    if (epoch !== undefined && epoch !== known && epoch > prices.epoch) return;
    this.#prices = prices;
    for (const held of this.#held.values()) held.lease = { ...held.lease, shadowPrices: prices };
  }

  /** What was done under the leases that hold, for a page that will not renew them. */
  reports(): LeaseReport[] {
    const now = this.#options.now();
    return [...this.#held.values()].filter(({ endsAt }) => now < endsAt).map(reportOf);
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

  #isOlder({ askedAt }: Held, ageMs: number): boolean {
    return this.#options.now() - askedAt > ageMs;
  }

  async #ask(task: string, payloadBytes: number, signal: AbortSignal): Promise<Lease> {
    const { api, network, now, report, onRevision } = this.#options;
    const device = report(task);
    const former = this.#held.get(task);
    const reported = former === undefined ? undefined : reportOf(former);
    const sentBefore = former?.sent ?? 0;
    // What is passed over from now on is told with the next lease.
    if (former !== undefined) former.passedOver = new Map();
    const { priceEpoch } = this;
    const askedAt = now();
    const { lease } = await api.placement(
      {
        task,
        payloadBytes,
        network: { rtt: network.path.rtt },
        ...(device !== undefined && { device }),
        ...(reported !== undefined && { lease: reported }),
      },
      signal,
    );
    network.add(now() - askedAt);
    if (lease.shadowPrices !== undefined) this.setPrices(lease.shadowPrices, priceEpoch);
    const granted = this.#prices === undefined ? lease : { ...lease, shadowPrices: this.#prices };
    this.#held.set(task, {
      lease: granted,
      askedAt,
      endsAt: askedAt + lease.ttlMs,
      payloadBytes,
      deviceClass: device?.deviceClass,
      // What was sent after the report belongs to the new lease.
      sent: (former?.sent ?? 0) - sentBefore,
      passedOver: former?.passedOver ?? new Map(),
    });
    if (lease.revision !== undefined) onRevision?.(task, lease.revision);
    return granted;
  }
}

function isHalfUsed({ lease, sent }: Held): boolean {
  // One that allows nothing is no more used up than before.
  return sent > 0 && sent >= REFRESH_AFTER_SHARE * (lease.maxRequests ?? Number.POSITIVE_INFINITY);
}

function reportOf({ lease, sent, passedOver }: Held): LeaseReport {
  return {
    id: lease.id,
    remoteRequests: Math.min(sent, LIMITS.maxLeaseRequests),
    ...(passedOver.size > 0 && { passedOver: [...passedOver.values()] }),
  };
}
