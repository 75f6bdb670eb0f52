import {
  type Clock,
  type IndexChoice,
  type IndexedWorker,
  PlacementIndex,
  type RegisteredTask,
  type RequestSpec,
  workerUsdPerHour,
  ZERO,
} from '@nearfar/core';
import type { Moments, WorkerHello } from '@nearfar/protocol';
import type { FleetWorker } from './fleet-worker.ts';
import { isSameSpeed, type OfferSources, type PlaceKind, placeKind, TaskOffers } from './task-offers.ts';

/** Numbers of inputs for which a task's offers are kept; most requests have one. */
const MAX_SIZES = 64;

/** Steps of a link's logarithm: links within about a tenth of each other count as one. */
const LINK_STEP = 0.1;

/** A worker to which this many bytes have not left yet is not reached in time; more would only pile up here. */
const HIGH_WATER_BYTES = 8 * 1024 * 1024;

/** What the index needs of its coordinator. */
export interface FleetIndexParts extends OfferSources {
  readonly clock: Clock;
  /** The worker that has an id now. */
  readonly find: (workerId: string) => FleetWorker | undefined;
}

/** A request that a worker is looked for. */
export interface IndexQuestion {
  readonly task: RegisteredTask;
  readonly rows: number;
  readonly spec: RequestSpec;
  readonly elapsedMs: number;
  /** Workers that refused or lost it. */
  readonly blocked: ReadonlyMap<string, string>;
}

/** The fleet as decisions see it: the index in core, kept up to date by whatever happens to a worker. */
export class FleetIndex {
  readonly #parts: FleetIndexParts;
  readonly #index = new PlacementIndex();
  readonly #known = new Map<string, IndexedWorker>();
  readonly #kinds = new WeakMap<WorkerHello, PlaceKind>();
  readonly #offers = new WeakMap<RegisteredTask, Map<number, TaskOffers>>();

  constructor(parts: FleetIndexParts) {
    this.#parts = parts;
  }

  /** To be called after anything about a worker may have changed; another session of the same worker is passed over. */
  changed(worker: FleetWorker): void {
    const { id, load, ready } = worker;
    const { clock, calibrations, find } = this.#parts;
    if (find(id) !== worker) return;
    const known = this.#known.get(id);
    const link = linkTime(worker);
    const speed = calibrations.speed(id);
    const isKnown =
      known?.ready === ready && known.link.meanMs === link.meanMs && isSameSpeed(known.speed, speed);
    if (!isKnown) {
      const { tier, deviceClass, usdPerHour } = this.kindOf(worker);
      const indexed = { id, tier, deviceClass, usdPerHour, link, speed, ready };
      this.#known.set(id, indexed);
      this.#index.setWorker(indexed);
    }
    this.#index.setAvailable(id, takesWork(worker));
    this.#index.setQueue(id, load.freeAtMs, load.reportedAtMs, clock.now());
  }

  /** To be called when a worker has left. */
  gone(workerId: string): void {
    this.#known.delete(workerId);
    this.#index.removeWorker(workerId);
  }

  /** A worker's kind, by which time and cost of a variant are found. */
  kindOf({ hello }: FleetWorker): PlaceKind {
    let kind = this.#kinds.get(hello);
    if (kind === undefined) {
      const { tier, device } = hello;
      const usdPerHour = workerUsdPerHour(this.#parts.prices, hello);
      kind = placeKind({ tier, deviceClass: device.deviceClass, usdPerHour });
      this.#kinds.set(hello, kind);
    }
    return kind;
  }

  /** What the variants of a task take and cost, as it is known now. */
  offersOf(task: RegisteredTask, rows: number): TaskOffers {
    let bySize = this.#offers.get(task);
    if (bySize === undefined) {
      bySize = new Map();
      this.#offers.set(task, bySize);
    }
    let offers = bySize.get(rows);
    if (offers === undefined) {
      const [oldest] = bySize.keys();
      if (bySize.size >= MAX_SIZES && oldest !== undefined) bySize.delete(oldest);
      offers = new TaskOffers(this.#parts, task, rows);
      bySize.set(rows, offers);
    }
    offers.refresh(this.#parts.clock.now());
    return offers;
  }

  /** Where a request that came by plain HTTP should run. */
  choose({ task, rows, spec, elapsedMs, blocked }: IndexQuestion): IndexChoice {
    const { list } = this.offersOf(task, rows);
    let except: ReadonlySet<string> | ReadonlyMap<string, string> = blocked;
    for (;;) {
      const nowMs = this.#parts.clock.now();
      const choice = this.#index.choose(list, { spec, elapsedMs, nowMs, network: ZERO, except });
      if (choice.kind === 'none') return choice;
      // Nobody tells when bytes have left, so that is asked of the one worker that matters.
      const worker = this.#parts.find(choice.worker);
      if (worker !== undefined && !isJammed(worker)) return choice;
      except = new Set([...except.keys(), choice.worker]);
    }
  }

  /** One worker of each kind, of those of a kind the one that is free first. */
  samples(): FleetWorker[] {
    const ids = this.#index.samples(this.#parts.clock.now());
    return ids.flatMap((id) => this.#parts.find(id) ?? []);
  }
}

/** Whether a worker is given requests now, as far as the mesh is told when that changes. */
function takesWork({ state, load, inFlight, credits }: FleetWorker): boolean {
  return state === 'active' && Math.max(load.outstanding, inFlight) < credits;
}

/** Whether too much of what was sent to a worker is still here. */
export function isJammed({ bufferedBytes }: FleetWorker): boolean {
  return bufferedBytes > HIGH_WATER_BYTES;
}

/**
 * Round trip between coordinator and worker, as the worker measures it, rounded so that workers of one place have the same and
 * keep it; its spread is taken as a quarter.
 */
export function linkTime({ load }: FleetWorker): Moments {
  const measuredMs = load.load?.rttMs ?? 0;
  const meanMs = Math.expm1(Math.round(Math.log1p(measuredMs) / LINK_STEP) * LINK_STEP);
  return { meanMs, varianceMs2: (meanMs / 4) ** 2 };
}
