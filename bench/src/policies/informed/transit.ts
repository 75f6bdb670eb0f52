import type { SimulatedWorker } from '../../simulator/policy.ts';

/** A request on its way to a worker. */
export interface InTransit {
  readonly task: string;
  readonly variant: string;
  readonly arrivesMs: number;
}

/** What was sent to each worker and has not reached it: known exactly to whoever sent it. */
export class TransitBook {
  readonly #sent = new Map<SimulatedWorker, InTransit[]>();

  add(worker: SimulatedWorker, request: InTransit): void {
    const own = this.#sent.get(worker);
    if (own === undefined) this.#sent.set(worker, [request]);
    else own.push(request);
  }

  /** Without what has arrived by now. */
  of(worker: SimulatedWorker, nowMs: number): readonly InTransit[] {
    const own = this.#sent.get(worker);
    if (own === undefined) return [];
    let kept = 0;
    for (const request of own) {
      if (request.arrivesMs <= nowMs) continue;
      own[kept] = request;
      kept += 1;
    }
    own.length = kept;
    return own;
  }
}
