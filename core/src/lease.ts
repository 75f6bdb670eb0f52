/*
 * How much remote work leases let pages decide by themselves. A page decides by what its lease tells of the workers, and
 * many pages are told the same at the same time: so that they do not all send more than the workers can take on, each lease
 * counts a number of requests, and all of them together never more than there is room for. Nobody's leases hold more than
 * half of what the others' leave, so that no single caller keeps everybody else waiting.
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
const LEAST_WANTED = 16;
/** A page may use this many times as much as it did under its last lease: that one was renewed early. */
const WANTED_BY_USED = 4;
/** One lease takes at most this share of what its subject may still have, so that something is left for its next page. */
const MAX_SHARE = 0.5;
/** The leases of one subject together hold at most this share of what those of the others leave. */
const MAX_SUBJECT_SHARE = 0.5;
/** Leases with requests that are kept; while there are more, further ones are granted none. */
const MAX_OPEN_LEASES = 10_000;

/** Who a lease is for and until when. */
export interface LeaseGrant {
  /** Unique among open leases. */
  readonly id: string;
  /** Whose page asks: all that have the same token count as one. */
  readonly subject: string;
  /** Requests that the page could use. */
  readonly wanted: number;
  readonly now: number;
  /** Not before that of the lease granted before. */
  readonly endsAt: number;
}

/** What became of a lease that its page reported. */
export interface ReportedLease {
  /** Requests that it allowed. */
  readonly granted: number;
  /** Those of them that were sent. */
  readonly used: number;
}

interface OpenLease {
  readonly subject: string;
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
  /** Busy milliseconds that open leases hold, by worker, and of each subject by worker. */
  readonly #heldMs = new Map<string, number>();
  readonly #subjects = new Map<string, { leases: number; readonly heldMs: Map<string, number> }>();
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
   * Grants a lease of up to `wanted` remote requests on these workers: at most half of what its subject may still have
   * there, which is half of what others leave; 0 where nothing is.
   */
  grant({ id, subject, wanted, now, endsAt }: LeaseGrant, places: readonly LeasedPlace[]): number {
    this.expire(now);
    if (this.#open.has(id)) throw new RangeError('Expected the id of a new lease, got one that is open');
    const own = this.#subjects.get(subject);
    const ofOthers = this.#open.size - (own?.leases ?? 0);
    if ((own?.leases ?? 0) >= MAX_SUBJECT_SHARE * (MAX_OPEN_LEASES - ofOthers)) return 0;
    const rooms = places
      .map(({ worker, capacityMs, requestMs }) => {
        const ownMs = own?.heldMs.get(worker) ?? 0;
        const leftMs = capacityMs - (this.heldMs(worker) - ownMs);
        // Where that is less than a single request, a subject that holds none may hold one.
        const mayHoldMs = Math.min(leftMs, Math.max(MAX_SUBJECT_SHARE * leftMs, ownMs > 0 ? 0 : requestMs));
        // A figure that is no number leaves no room.
        return { worker, requestMs, room: Math.max(0, Math.floor((mayHoldMs - ownMs) / requestMs) || 0) };
      })
      .sort((a, b) => a.room - b.room || (a.worker < b.worker ? -1 : 1));
    const free = rooms.reduce((sum, { room }) => sum + room, 0);
    const requests = Math.min(Math.floor(wanted), Math.max(Math.min(1, free), Math.floor(free * MAX_SHARE)));
    if (!(requests > 0)) return 0;

    // Evenly; where a worker has less room than its part, the larger ones after it take the rest.
    let left = requests;
    const held = rooms.flatMap(({ worker, requestMs, room }, index) => {
      const part = Math.min(room, Math.floor(left / (rooms.length - index)));
      left -= part;
      return part > 0 ? [{ worker, busyMs: part * requestMs }] : [];
    });
    this.#hold(subject, 1, held);
    this.#open.set(id, { subject, requests, endsAt, held });
    this.#granted += requests;
    this.#openRequests += requests;
    return requests;
  }

  /**
   * Takes in that a page is done with a lease and sent `used` requests under it, of which at most those count that were
   * granted; undefined when the lease has ended, was reported before or is not known.
   */
  report(id: string, used: number): ReportedLease | undefined {
    const lease = this.#close(id);
    if (lease === undefined) return undefined;
    const counted = Math.min(lease.requests, Math.max(0, Math.floor(used) || 0));
    this.#reported += counted;
    this.#returned += lease.requests - counted;
    return { granted: lease.requests, used: counted };
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
    this.#hold(lease.subject, -1, lease.held);
    return lease;
  }

  /** Adds what a subject's lease holds (`sign` 1), or takes it back (−1). */
  #hold(subject: string, sign: 1 | -1, held: OpenLease['held']): void {
    const own = this.#subjects.get(subject) ?? { leases: 0, heldMs: new Map<string, number>() };
    own.leases += sign;
    if (own.leases > 0) this.#subjects.set(subject, own);
    else this.#subjects.delete(subject);
    for (const { worker, busyMs } of held) {
      for (const sums of [this.#heldMs, own.heldMs]) {
        const sum = (sums.get(worker) ?? 0) + sign * busyMs;
        // What is left of a sum of fractions may be a rounding error.
        if (sum > 1e-6) sums.set(worker, sum);
        else sums.delete(worker);
      }
    }
  }
}
