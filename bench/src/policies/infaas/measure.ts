import type { SimulatedWorker } from '../../simulator/policy.ts';

/*
 * What INFaaS's master watches of whole workers: how many requests it sent to each, and how busy each is.
 */

/** Requests to one worker within a second that blacklist it for new placements [C: queryfe_server.cc]. */
const MOST_REQUESTS_PER_SECOND = 200;
/** Milliseconds for which a worker stays blacklisted [C: `blacklist_executor(…, 2)`]. */
const WORKER_BLACKLIST_MS = 2_000;
/** Utilisation that blacklists a worker for new placements [C: master_vm_daemon.cc, max_blacklist]. */
const BUSY_ABOVE = 0.8;

/** Counts what was sent to one worker in windows of a second. */
export class RequestRate {
  #windowFromMs = Number.NEGATIVE_INFINITY;
  #count = 0;
  #untilMs = Number.NEGATIVE_INFINITY;

  add(nowMs: number): void {
    if (nowMs - this.#windowFromMs >= 1_000) {
      this.#windowFromMs = nowMs;
      this.#count = 0;
    }
    this.#count += 1;
    if (this.#count >= MOST_REQUESTS_PER_SECOND) this.#untilMs = nowMs + WORKER_BLACKLIST_MS;
  }

  isBlacklisted(nowMs: number): boolean {
    return nowMs < this.#untilMs;
  }
}

/** The share of each worker's time that went into batches, over the last whole period. */
export class Utilisation {
  readonly #busyMs = new Map<SimulatedWorker, number>();
  readonly #shares = new Map<SimulatedWorker, number>();
  readonly #busyUntilMs = new Map<SimulatedWorker, number>();
  #fromMs = 0;

  /** Adds a request's share of its batch. */
  add(worker: SimulatedWorker, busyMs: number): void {
    this.#busyMs.set(worker, (this.#busyMs.get(worker) ?? 0) + busyMs);
  }

  closePeriod(nowMs: number): void {
    const lengthMs = Math.max(1, nowMs - this.#fromMs);
    this.#shares.clear();
    for (const [worker, busyMs] of this.#busyMs) {
      const share = Math.min(1, busyMs / lengthMs);
      this.#shares.set(worker, share);
      if (share > BUSY_ABOVE) this.#busyUntilMs.set(worker, nowMs + WORKER_BLACKLIST_MS);
    }
    this.#busyMs.clear();
    this.#fromMs = nowMs;
  }

  /** 0 to 1; 0 for a worker that has not run anything. */
  of(worker: SimulatedWorker): number {
    return this.#shares.get(worker) ?? 0;
  }

  isBlacklisted(worker: SimulatedWorker, nowMs: number): boolean {
    return nowMs < (this.#busyUntilMs.get(worker) ?? Number.NEGATIVE_INFINITY);
  }
}
