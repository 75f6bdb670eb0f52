/*
 * How much remote work leases let pages decide by themselves. A page decides by what its lease tells of the workers, and
 * many pages are told the same at the same time: so that they do not all send more than the workers can take on, each lease
 * counts a number of requests, and all of them together never more than there is room for.
 */

/** A worker as leases share it. */
export interface LeasedPlace {
  readonly worker: string;
  /** Busy milliseconds that it can take on within a lease's time, what it has to do already left out. */
  readonly capacityMs: number;
  /** Busy milliseconds of one request, above 0. */
  readonly requestMs: number;
}

/** Remote requests that leases were granted, by what became of them: `granted` is the sum of the others. */
export interface LeaseCounts {
  readonly granted: number;
  /** Of leases that still hold. */
  readonly open: number;
  /** The page says that it sent them. */
  readonly reported: number;
  /** The page says that it did not. */
  readonly returned: number;
  /** The lease ended and its page said nothing: nobody knows whether they were sent, so they count as neither. */
  readonly unknown: number;
}

/** Requests that a lease is granted when its page has used none before. */
export const LEAST_WANTED = 16;
/** A page may use this many times as much as it did under its last lease: that one was renewed early. */
const WANTED_BY_USED = 4;
/** One lease takes at most this share of what is free, so that something is left for whoever asks next. */
const MAX_SHARE = 0.5;
/** Leases with requests that are kept; while there are more, further ones are granted none. */
const MAX_OPEN_LEASES = 10_000;

interface OpenLease {
  readonly requests: number;
  readonly endsAt: number;
  readonly held: readonly { readonly worker: string; readonly busyMs: number }[];
}

/** What a page is likely to need, given what it used under its last lease. */
export function wantedRequests(used: number): number {
  return Math.max(LEAST_WANTED, Math.ceil(WANTED_BY_USED * used));
}

/**
 * Counts what leases were granted. What a lease holds on each worker is given back when its page reports or when it ends,
 * and never sums up to more than the worker's capacity at the time of the grant.
 */
export class LeaseLedger {
  /** In the order of their ends, since all hold equally long. */
  readonly #open = new Map<string, OpenLease>();
  readonly #heldMs = new Map<string, number>();
  #granted = 0;
  #openRequests = 0;
  #reported = 0;
  #returned = 0;
  #unknown = 0;

  get counts(): LeaseCounts {
    return {
      granted: this.#granted,
      open: this.#openRequests,
      reported: this.#reported,
      returned: this.#returned,
      unknown: this.#unknown,
    };
  }

  /** Busy milliseconds of a worker that open leases hold. */
  heldMs(worker: string): number {
    return this.#heldMs.get(worker) ?? 0;
  }

  /**
   * Grants a lease up to `wanted` remote requests on these workers, at most half of what is free there; 0 where nothing is.
   *
   * @param id unique among open leases.
   * @param endsAt not before that of the lease granted before.
   */
  grant(
    id: string,
    places: readonly LeasedPlace[],
    { wanted, now, endsAt }: { readonly wanted: number; readonly now: number; readonly endsAt: number },
  ): number {
    this.expire(now);
    if (this.#open.has(id)) throw new RangeError('Expected the id of a new lease, got one that is open');
    if (this.#open.size >= MAX_OPEN_LEASES) return 0;
    const rooms = places
      .map(({ worker, capacityMs, requestMs }) => ({
        worker,
        requestMs,
        // A figure that is no number leaves no room.
        room: Math.max(0, Math.floor((capacityMs - this.heldMs(worker)) / requestMs) || 0),
      }))
      .sort((a, b) => a.room - b.room || (a.worker < b.worker ? -1 : 1));
    const free = rooms.reduce((sum, { room }) => sum + room, 0);
    const requests = Math.min(Math.floor(wanted), Math.max(Math.min(1, free), Math.floor(free * MAX_SHARE)));
    if (!(requests > 0)) return 0;

    // Evenly; where a worker has less room than its part, the larger ones after it take the rest.
    let left = requests;
    const held = rooms.flatMap(({ worker, requestMs, room }, index) => {
      const own = Math.min(room, Math.floor(left / (rooms.length - index)));
      left -= own;
      return own > 0 ? [{ worker, busyMs: own * requestMs }] : [];
    });
    for (const { worker, busyMs } of held) this.#heldMs.set(worker, this.heldMs(worker) + busyMs);
    this.#open.set(id, { requests, endsAt, held });
    this.#granted += requests;
    this.#openRequests += requests;
    return requests;
  }

  /**
   * Takes in that a page is done with a lease and sent `used` requests under it; gives how many of them count: at most those
   * that were granted, none when the lease has ended, was reported before or is not known.
   */
  report(id: string, used: number): number {
    const lease = this.#close(id);
    if (lease === undefined) return 0;
    const counted = Math.min(lease.requests, Math.max(0, Math.floor(used) || 0));
    this.#reported += counted;
    this.#returned += lease.requests - counted;
    return counted;
  }

  /** Gives back what ended leases hold. */
  expire(now: number): void {
    for (const [id, { endsAt }] of this.#open) {
      if (endsAt > now) return;
      this.#unknown += this.#close(id)?.requests ?? 0;
    }
  }

  #close(id: string): OpenLease | undefined {
    const lease = this.#open.get(id);
    if (lease === undefined) return undefined;
    this.#open.delete(id);
    this.#openRequests -= lease.requests;
    for (const { worker, busyMs } of lease.held) {
      const rest = this.heldMs(worker) - busyMs;
      // What is left of a sum of fractions may be a rounding error.
      if (rest > 1e-6) this.#heldMs.set(worker, rest);
      else this.#heldMs.delete(worker);
    }
    return lease;
  }
}
