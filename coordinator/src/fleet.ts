import type { Clock, CoordinatorSideLink } from '@nearfar/core';
import {
  CLOSE_CODES,
  LINK_PROTOCOL,
  type ProfileReport,
  type VariantSpec,
  type WorkerHello,
} from '@nearfar/protocol';
import { after } from './after.ts';
import { FleetWorker, LOST_AFTER_REPORTS } from './fleet-worker.ts';
import type { Log } from './options.ts';

/** A connection that has not said hello after this many milliseconds is closed. */
export const HELLO_WITHIN_MS = 10_000;

/** What the fleet needs from its coordinator. */
export interface FleetOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly reportEveryMs: number;
  /** Ids of workers inside this process: nobody who dials in gets one of them. */
  readonly embeddedIds: ReadonlySet<string>;
  /** Every variant that a worker should hold, as far as it can run them. */
  readonly variants: (worker: FleetWorker) => readonly VariantSpec[];
  readonly onProfiles: (workerId: string, reports: readonly ProfileReport[]) => void;
  /** Called after anything about a worker may have changed that says whether, and how soon, it can run something. */
  readonly onWorker?: (worker: FleetWorker) => void;
  /** Called when a worker has left. */
  readonly onGone?: (workerId: string) => void;
  /** Called when a worker said what it holds or measured, and when one left. */
  readonly onChange: () => void;
}

/** What whoever opened a link may claim to be. */
export interface WorkerGrant {
  readonly tier: 'edge' | 'pool';
  /** Whether it is a worker inside this process. */
  readonly isEmbedded: boolean;
}

/** All connected workers. */
export class Fleet {
  readonly #options: FleetOptions;
  readonly #workers = new Map<string, FleetWorker>();
  /** They by id, until one comes or goes: decisions and reports ask for them far more often. */
  #byId: readonly FleetWorker[] | undefined;
  readonly #pending = new Set<CoordinatorSideLink>();
  readonly #closing = new AbortController();
  #isWatching = false;

  constructor(options: FleetOptions) {
    this.#options = options;
  }

  /** Workers by id; the same list until one comes or goes. */
  list(): readonly FleetWorker[] {
    this.#byId ??= [...this.#workers.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    return this.#byId;
  }

  /** Connected workers. */
  get size(): number {
    return this.#workers.size;
  }

  find(workerId: string): FleetWorker | undefined {
    return this.#workers.get(workerId);
  }

  /** Takes over a link on which a worker is about to say hello. */
  accept(link: CoordinatorSideLink, grant: WorkerGrant): void {
    const { clock, log } = this.#options;
    if (this.#closing.signal.aborted) {
      link.close(CLOSE_CODES.lost, 'The mesh is shutting down');
      return;
    }
    let worker: FleetWorker | undefined;
    this.#pending.add(link);
    const stopTimer = after(clock, HELLO_WITHIN_MS, () =>
      link.close(CLOSE_CODES.lost, `No worker-hello within ${HELLO_WITHIN_MS} ms`),
    );
    link.onClose(({ code, reason }) => {
      stopTimer();
      this.#pending.delete(link);
      if (worker === undefined) return;
      worker.lose(`was lost (${code}${reason === '' ? '' : `: ${reason}`})`);
      if (this.#workers.get(worker.id) === worker) this.#forget(worker.id);
      log('info', 'worker left', { worker: worker.id, code, reason });
      this.#options.onChange();
    });
    link.onMessage((message, tensors) => {
      if (worker === undefined) {
        if (message.type !== 'worker-hello') {
          link.close(CLOSE_CODES.badFrame, `Expected worker-hello first, got ${message.type}`);
          return;
        }
        stopTimer();
        this.#pending.delete(link);
        worker = this.#greet(message, link, grant);
        return;
      }
      worker.receive(message, tensors);
      if (message.type === 'profile-report') this.#options.onProfiles(worker.id, message.reports);
      if (message.type === 'profile-report' || message.type === 'load-report') this.#options.onChange();
    });
  }

  /** Tells every worker about variants that came, changed or went. */
  assignAll(): void {
    for (const worker of this.#workers.values()) worker.assign(this.#options.variants(worker));
  }

  /** Ends every session. May be called twice. */
  close(): void {
    this.#closing.abort();
    for (const link of this.#pending) link.close(CLOSE_CODES.lost, 'The mesh is shutting down');
    for (const worker of this.#workers.values()) worker.close(CLOSE_CODES.lost, 'The mesh is shutting down');
    this.#workers.clear();
    this.#byId = undefined;
  }

  #greet(hello: WorkerHello, link: CoordinatorSideLink, grant: WorkerGrant): FleetWorker | undefined {
    const { clock, log, reportEveryMs } = this.#options;
    if (hello.protocol !== LINK_PROTOCOL) {
      link.close(
        CLOSE_CODES.protocolMismatch,
        `Expected link protocol ${LINK_PROTOCOL}, got ${hello.protocol}`,
      );
      return undefined;
    }
    // Where a payload may go rests on the tier, so a worker's word for it is not enough.
    if (hello.tier !== grant.tier) {
      log('warn', 'worker claims a tier that its token does not give', {
        worker: hello.workerId,
        tier: hello.tier,
      });
      link.close(CLOSE_CODES.unauthenticated, `The token is for tier "${grant.tier}", not "${hello.tier}"`);
      return undefined;
    }
    const isReserved = this.#options.embeddedIds.has(hello.workerId) && !grant.isEmbedded;
    const former = this.#workers.get(hello.workerId);
    const isHeld = former !== undefined && former.state !== 'silent' && former.sessionId !== hello.sessionId;
    if (isReserved || isHeld) {
      log('warn', 'worker id is taken', { worker: hello.workerId });
      link.close(CLOSE_CODES.idTaken, `A worker with the id "${hello.workerId}" is connected`);
      return undefined;
    }
    const worker: FleetWorker = new FleetWorker(hello, link, clock, () => this.#options.onWorker?.(worker));
    this.#workers.set(worker.id, worker);
    this.#byId = undefined;
    this.#options.onWorker?.(worker);
    former?.close(CLOSE_CODES.superseded, 'A newer session of this worker took over');
    const { sessionId, credits } = worker;
    link.send({ type: 'worker-welcome', protocol: LINK_PROTOCOL, sessionId, reportEveryMs, credits });
    worker.assign(this.#options.variants(worker));
    log('info', 'worker joined', { worker: worker.id, tier: hello.tier, device: hello.device.deviceClass });
    if (!this.#isWatching) void this.#watch();
    return worker;
  }

  #forget(workerId: string): void {
    this.#workers.delete(workerId);
    this.#byId = undefined;
    this.#options.onGone?.(workerId);
  }

  /** While there are workers, counts the reports that they owe, and gives up what silent ones hold. */
  async #watch(): Promise<void> {
    const { clock, log, reportEveryMs } = this.#options;
    this.#isWatching = true;
    try {
      while (this.#workers.size > 0) {
        await clock.sleep(reportEveryMs, this.#closing.signal);
        for (const worker of this.#workers.values()) {
          worker.expectReport();
          if (worker.state !== 'silent') continue;
          if (worker.inFlight > 0) {
            log('warn', 'worker is silent', { worker: worker.id, requests: worker.inFlight });
            worker.lose('stopped reporting');
          }
          if (worker.owedReports < LOST_AFTER_REPORTS) continue;
          // Not left to the close handshake, which nobody may be there to answer.
          this.#forget(worker.id);
          worker.close(CLOSE_CODES.lost, 'stopped reporting');
        }
      }
    } catch (error) {
      if (!this.#closing.signal.aborted) log('error', 'fleet watch failed', { error: String(error) });
    } finally {
      this.#isWatching = false;
    }
  }
}
