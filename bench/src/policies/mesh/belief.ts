import { FRESH_FOR_MS } from '@nearfar/core';
import type { Moments } from '@nearfar/protocol';
import type { SimulatedRequest, SimulatedWorker } from '../../simulator/policy.ts';
import { BelievedQueue, type BelievedRequest, type UnderWay } from './believed-queue.ts';

/** What a request for a variant would meet on a worker. */
export interface Expected {
  /** From when it is there until its batch starts. */
  readonly wait: Moments;
  /** Inputs of its batch, itself included. */
  readonly batch: number;
}

/** A queued request as the mesh knows it; undefined of one whose variant it does not know there. */
export type Recognise = (
  request: SimulatedRequest,
  variant: string,
  deviceClass: string,
) => BelievedRequest | undefined;

/** What is looked ahead in, one question at a time. */
const SCRATCH = new BelievedQueue();
/** Beyond this many times its fresh length, age makes a prediction no vaguer (as in core's `LoadView`). */
const MOST_STALENESS = 10;

/**
 * What the mesh believes of one worker: its last load report, and what was sent since and has not been part of one. As in the
 * live mesh, a report comes with every answer and every so often; between them the worker is taken to go on as its profiles
 * say.
 */
export class WorkerBelief {
  readonly worker: SimulatedWorker;
  readonly #recognise: Recognise;
  readonly #queue = new BelievedQueue();
  /** By the time at which it will be there. */
  readonly #underWay: UnderWay[] = [];
  #reportedMs = 0;

  constructor(worker: SimulatedWorker, recognise: Recognise) {
    this.worker = worker;
    this.#recognise = recognise;
  }

  /** Takes in how the worker is at `nowMs`. */
  report(nowMs: number): void {
    const { queue, deviceClass, predictedFreeMs } = this.worker;
    this.#reportedMs = nowMs;
    this.#underWay.splice(0, this.#reached(nowMs));
    this.#queue.reset(Math.max(nowMs, predictedFreeMs));
    for (const [position, request] of queue.entries()) {
      const known = this.#recognise(request, this.worker.variantAt(position), deviceClass);
      if (known !== undefined) this.#queue.wait(known);
    }
  }

  /** Milliseconds of what it runs and of what waits there, in the largest batches. */
  backlogMs(nowMs: number): number {
    this.#goOn(nowMs);
    return this.#queue.backlogMs(nowMs);
  }

  /** A request was sent. */
  sent(request: UnderWay): void {
    let position = this.#underWay.length;
    while (position > 0 && (this.#underWay[position - 1] as UnderWay).reachesMs > request.reachesMs) {
      position -= 1;
    }
    this.#underWay.splice(position, 0, request);
  }

  /**
   * What a request would meet that is there at `reachesMs`, behind what is more urgent. The spread grows with the wait and with
   * the age of the report.
   */
  expected(request: UnderWay, nowMs: number): Expected {
    const { reachesMs } = request;
    this.#goOn(nowMs);
    SCRATCH.copy(this.#queue);
    const there = this.#reached(reachesMs);
    for (let index = 0; index < there; index += 1) {
      const sent = this.#underWay[index] as UnderWay;
      SCRATCH.arrive(sent, sent.reachesMs);
    }
    SCRATCH.runUntil(reachesMs);
    const { waitMs, batch } = SCRATCH.ahead(request, reachesMs, this.#underWay, there);
    const staleness = Math.min(MOST_STALENESS, (nowMs - this.#reportedMs) / FRESH_FOR_MS);
    const deviation = 0.5 * waitMs * (1 + Math.max(0, staleness - 1));
    return { wait: { meanMs: waitMs, varianceMs2: deviation * deviation }, batch };
  }

  /** Lets the queue go on until now, with what has reached it since. */
  #goOn(nowMs: number): void {
    const reached = this.#reached(nowMs);
    for (let index = 0; index < reached; index += 1) {
      const sent = this.#underWay[index] as UnderWay;
      this.#queue.arrive(sent, sent.reachesMs);
    }
    if (reached > 0) this.#underWay.splice(0, reached);
    this.#queue.runUntil(nowMs);
  }

  /** How many of those under way are there by then. */
  #reached(timeMs: number): number {
    let reached = 0;
    while (reached < this.#underWay.length && (this.#underWay[reached] as UnderWay).reachesMs <= timeMs) {
      reached += 1;
    }
    return reached;
  }
}
