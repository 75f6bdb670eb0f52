import { type BatchRule, formBatch, type Waiting } from '@nearfar/core';
import { type ExecuteRequest, MeshError, type Tensor } from '@nearfar/protocol';

/** A request that waits in the worker. Times are on the worker's clock. */
export interface QueuedRequest extends Waiting {
  readonly request: ExecuteRequest;
  readonly tensors: readonly Tensor[];
  readonly arrivedAt: number;
}

/** What left the queue: a batch to run, and requests that are too late. */
export interface Taken {
  readonly batch: readonly QueuedRequest[];
  readonly expired: readonly QueuedRequest[];
  /** Until when everything else waits for others to fill its batch, where that is the plan. */
  readonly waitUntil?: number;
}

/** The bounded queue of a worker. Which requests share a batch is core's `formBatch`. */
export class RequestQueue {
  readonly #capacity: number;
  #waiting: QueuedRequest[] = [];

  constructor(capacity: number) {
    if (!Number.isInteger(capacity) || capacity < 1) {
      throw new RangeError(`Expected queueCapacity to be an integer from 1, got ${capacity}`);
    }
    this.#capacity = capacity;
  }

  get length(): number {
    return this.#waiting.length;
  }

  entries(): readonly QueuedRequest[] {
    return this.#waiting;
  }

  /** @throws MeshError `MESH_QUEUE_FULL`. */
  push(entry: QueuedRequest): void {
    if (this.#waiting.length >= this.#capacity) {
      throw new MeshError(
        'MESH_QUEUE_FULL',
        `The worker's queue is full (${this.#waiting.length} of ${this.#capacity} waiting)`,
      );
    }
    this.#waiting.push(entry);
  }

  /** Takes a request out; undefined when it is not waiting (any more). */
  remove(requestId: string): QueuedRequest | undefined {
    const index = this.#waiting.findIndex((entry) => entry.request.requestId === requestId);
    return index === -1 ? undefined : this.#waiting.splice(index, 1)[0];
  }

  /** Takes the requests whose deadline has passed. */
  takeExpired(now: number): QueuedRequest[] {
    const expired = this.#waiting.filter((entry) => entry.deadlineAt <= now);
    if (expired.length > 0) this.#waiting = this.#waiting.filter((entry) => entry.deadlineAt > now);
    return expired;
  }

  /** Takes the next batch and those that are too late. */
  take(now: number, rule: BatchRule): Taken {
    const waiting = this.#waiting;
    const { run, drop, waitUntil } = formBatch(waiting, now, rule);
    const leaving = new Set([...run, ...drop]);
    this.#waiting = waiting.filter((_, index) => !leaving.has(index));
    const taken = { batch: pick(waiting, run), expired: pick(waiting, drop) };
    return waitUntil === undefined ? taken : { ...taken, waitUntil };
  }

  /** Empties the queue. */
  clear(): void {
    this.#waiting = [];
  }
}

function pick(waiting: readonly QueuedRequest[], positions: readonly number[]): QueuedRequest[] {
  return positions.flatMap((position) => waiting[position] ?? []);
}
