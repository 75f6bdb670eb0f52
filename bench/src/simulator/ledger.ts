import { PICO_USD_PER_USD, picoUsdPerMs } from '@nearfar/core';
import type { Scenario } from '../scenario/scenario.ts';
import type { RequestActor, WorkerActor } from './actors.ts';
import type { SimulatedOutcome } from './policy.ts';

/** What is counted of a task, a window or a whole run. */
export interface Tally {
  requests: number;
  onTime: number;
  late: number;
  dropped: number;
  refused: number;
  /** Sum over on-time answers. */
  accuracySum: number;
  /** Answers by tier. */
  readonly tiers: { browser: number; edge: number; pool: number };
}

/** A window of the run, by its position. Requests count where they arrived, money where it was spent. */
export interface WindowTally extends Tally {
  readonly latenciesMs: number[];
  busyPicoUsd: number;
  otherPicoUsd: number;
  provisionedPicoUsd: number;
}

/** Books what happens in a run. */
export class Ledger {
  readonly total = emptyTally();
  readonly byTask: readonly Tally[];
  readonly windows: WindowTally[] = [];
  readonly latenciesMs: Float64Array;
  readonly #taskLatencies: readonly number[][];
  readonly #windowMs: number;
  /** Busy time at its price: batches and loads. */
  busyPicoUsd = 0;
  loadPicoUsd = 0;
  provisionedPicoUsd = 0;
  egressPicoUsd = 0;
  requestPicoUsd = 0;
  energyPicoUsd = 0;
  loads = 0;
  downloads = 0;
  batches = 0;
  batchedRequests = 0;
  answered = 0;

  constructor(scenario: Scenario, requests: number) {
    this.latenciesMs = new Float64Array(requests);
    this.#windowMs = scenario.windowSeconds * 1_000;
    this.byTask = scenario.tasks.map(emptyTally);
    this.#taskLatencies = scenario.tasks.map(() => []);
  }

  arrived(request: RequestActor): void {
    this.total.requests += 1;
    this.#task(request).requests += 1;
    this.window(request.arrivalMs).requests += 1;
  }

  ended(request: RequestActor, outcome: SimulatedOutcome, accuracy: number): void {
    const window = this.window(request.arrivalMs);
    book(this.total, outcome, accuracy);
    book(this.#task(request), outcome, accuracy);
    book(window, outcome, accuracy);
    if (outcome.kind !== 'answered') return;
    this.latenciesMs[this.answered] = outcome.latencyMs;
    this.#taskLatencies[request.taskIndex]?.push(outcome.latencyMs);
    window.latenciesMs.push(outcome.latencyMs);
    this.answered += 1;
  }

  /** A worker's busy time, from `fromMs` on. */
  busy(worker: WorkerActor, fromMs: number, busyMs: number): void {
    const picoUsd = busyMs * picoUsdPerMs(worker.usdPerHour);
    this.busyPicoUsd += picoUsd;
    this.window(fromMs).busyPicoUsd += picoUsd;
  }

  load(worker: WorkerActor, fromMs: number, loadMs: number): void {
    this.loads += 1;
    this.loadPicoUsd += loadMs * picoUsdPerMs(worker.usdPerHour);
    this.busy(worker, fromMs, loadMs);
  }

  other(kind: 'egress' | 'request' | 'energy', atMs: number, usd: number): void {
    const picoUsd = usd * PICO_USD_PER_USD;
    if (kind === 'egress') this.egressPicoUsd += picoUsd;
    else if (kind === 'request') this.requestPicoUsd += picoUsd;
    else this.energyPicoUsd += picoUsd;
    this.window(atMs).otherPicoUsd += picoUsd;
  }

  /** The time that a worker was paid for, busy or not. */
  provisioned(worker: WorkerActor, untilMs: number): void {
    const rate = picoUsdPerMs(worker.usdPerHour);
    this.provisionedPicoUsd += Math.max(0, untilMs - worker.startedMs) * rate;
    for (let index = Math.floor(worker.startedMs / this.#windowMs); ; index += 1) {
      const fromMs = Math.max(worker.startedMs, index * this.#windowMs);
      if (fromMs >= untilMs) return;
      const endMs = Math.min(untilMs, (index + 1) * this.#windowMs);
      this.#window(index).provisionedPicoUsd += (endMs - fromMs) * rate;
    }
  }

  taskLatenciesMs(index: number): Float64Array {
    return Float64Array.from(this.#taskLatencies[index] ?? []);
  }

  window(atMs: number): WindowTally {
    return this.#window(Math.floor(atMs / this.#windowMs));
  }

  #window(index: number): WindowTally {
    while (this.windows.length <= index) {
      this.windows.push({
        ...emptyTally(),
        latenciesMs: [],
        busyPicoUsd: 0,
        otherPicoUsd: 0,
        provisionedPicoUsd: 0,
      });
    }
    return this.windows[index] as WindowTally;
  }

  #task(request: RequestActor): Tally {
    return this.byTask[request.taskIndex] as Tally;
  }
}

function emptyTally(): Tally {
  return {
    requests: 0,
    onTime: 0,
    late: 0,
    dropped: 0,
    refused: 0,
    accuracySum: 0,
    tiers: { browser: 0, edge: 0, pool: 0 },
  };
}

function book(tally: Tally, outcome: SimulatedOutcome, accuracy: number): void {
  if (outcome.kind === 'dropped') tally.dropped += 1;
  else if (outcome.kind === 'refused') tally.refused += 1;
  else {
    if (outcome.tier !== undefined) tally.tiers[outcome.tier] += 1;
    if (outcome.isOnTime) {
      tally.onTime += 1;
      tally.accuracySum += accuracy;
    } else tally.late += 1;
  }
}
