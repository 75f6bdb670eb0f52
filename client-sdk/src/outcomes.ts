import {
  type LeaseReport,
  LIMITS,
  type Outcome,
  type PriceTable,
  type ProfileReport,
} from '@nearfar/protocol';
import type { Api } from './api.ts';

const SEND_AFTER_MS = 1_000;
/** A browser lets a page that goes send 64 KiB in all (Fetch standard, keepalive); the rest of it is left free. */
const MAX_REPORT_BYTES = 48 * 1024;

/** What was measured and has not arrived at the mesh yet. */
export interface Measured {
  readonly profiles: readonly ProfileReport[];
  /** To be called once the profiles have arrived. */
  readonly confirm: () => void;
}

interface Part {
  readonly outcomes: Outcome[];
  readonly profiles: ProfileReport[];
}

/** What a report says of the page's leases, and takes from its answer. */
export interface LeaseNews {
  /** Epoch of the prices that the page decides by; undefined = it has none. */
  readonly priceEpoch: number | undefined;
  /** What was done under each lease, when the page goes. */
  reports(): readonly LeaseReport[];
  /** Takes in prices that the mesh gave when it was told of the epoch `known`. */
  setPrices(prices: PriceTable, known: number | undefined): void;
}

/** Gathers what the page did by itself and sends it to the mesh, without payloads, in batches. */
export class OutcomeReporter {
  readonly #api: Pick<Api, 'outcomes'>;
  readonly #measured: () => Measured;
  readonly #leases: LeaseNews;
  #waiting: Outcome[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  constructor(api: Pick<Api, 'outcomes'>, measured: () => Measured, leases: LeaseNews) {
    this.#api = api;
    this.#measured = measured;
    this.#leases = leases;
  }

  /** Adds an outcome; when there are too many unsent ones the oldest is forgotten. After `close` nothing happens. */
  add(outcome: Outcome): void {
    if (this.#isClosed) return;
    this.#waiting.push(outcome);
    if (this.#waiting.length > LIMITS.maxOutcomes) this.#waiting.shift();
    this.schedule();
  }

  /** Sends soon what has been measured, also without an outcome. After `close` nothing happens. */
  schedule(): void {
    if (this.#isClosed) return;
    this.#timer ??= setTimeout(() => void this.flush(), SEND_AFTER_MS);
  }

  /**
   * Sends what there is. Never rejects: reports are hints. An outcome that is lost is lost; profiles go again with the
   * next report until they have arrived. `isLast` lets the requests outlive the page.
   */
  async flush(isLast = false): Promise<void> {
    await this.#send(isLast, isLast);
  }

  async #send(isLast: boolean, isGoing: boolean): Promise<void> {
    if (this.#isClosed) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const outcomes = this.#waiting;
    this.#waiting = [];
    const { profiles, confirm } = this.#measured();
    const leases = isGoing ? this.#leases.reports().slice(0, LIMITS.maxLeaseReports) : [];
    const parts = inParts(profiles, outcomes);
    if (leases.some(hasNews) && parts.length === 0) {
      parts.push({ outcomes: [], profiles: [] });
    }
    // The browser's allowance is for all that a page sends at its end, so the rest of it is given up.
    const sent = isLast ? parts.slice(0, 1) : parts;
    const { priceEpoch } = this.#leases;
    const epoch = priceEpoch === undefined ? {} : { priceEpoch };
    const results = await Promise.allSettled(
      sent.map((part, index) => {
        const report = { ...part, ...epoch, ...(index === 0 && leases.length > 0 && { leases }) };
        return this.#api.outcomes(report, isLast);
      }),
    );
    const answers = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    const newest = answers.findLast((answer) => answer?.prices !== undefined);
    if (newest?.prices !== undefined) this.#leases.setPrices(newest.prices, priceEpoch);
    const haveArrived = parts.every(
      (part, index) => part.profiles.length === 0 || results[index]?.status === 'fulfilled',
    );
    if (haveArrived) confirm();
  }

  /** Sends what there is for the last time. May be called twice. */
  async close(): Promise<void> {
    const flushed = this.#send(false, true);
    this.#isClosed = true;
    await flushed;
  }
}

function hasNews({ remoteRequests, passedOver = [] }: LeaseReport): boolean {
  return remoteRequests > 0 || passedOver.length > 0;
}

/** Splits into reports of about `MAX_REPORT_BYTES` of JSON each, profiles first; none when there is nothing. */
function inParts(profiles: readonly ProfileReport[], outcomes: readonly Outcome[]): Part[] {
  const parts: Part[] = [];
  let bytes = 0;
  const partFor = (item: Outcome | ProfileReport): Part => {
    const itemBytes = new TextEncoder().encode(JSON.stringify(item)).byteLength;
    let part = parts.at(-1);
    if (part === undefined || bytes + itemBytes > MAX_REPORT_BYTES) {
      part = { outcomes: [], profiles: [] };
      parts.push(part);
      bytes = 0;
    }
    bytes += itemBytes;
    return part;
  };
  for (const profile of profiles) partFor(profile).profiles.push(profile);
  for (const outcome of outcomes) partFor(outcome).outcomes.push(outcome);
  return parts;
}
