import { type Engine, fittedMs } from './engines.ts';

/*
 * What a worker measures of a variant that it holds, and the blacklist that follows: `qpsMonitor` of query_executor.cc,
 * which runs every second.
 */

/** Thresholds of the blacklist [C]; latencies as multiples of the fitted line, rates and queues of the fitted capacity. */
export interface BlacklistRule {
  readonly slowerThan: number;
  readonly ratePart: number;
  readonly queuePart: number;
  readonly unsetBelow: number;
}

/** Multiples for a CPU [C: blist_*_heuristic]. */
const CPU_RULE: BlacklistRule = { slowerThan: 2.5, ratePart: 0.5, queuePart: 0.8, unsetBelow: 1.5 };
/** For the only replica of a CPU variant on a worker, which may be loading a second one [C]. */
const SINGLE_CPU_RULE: BlacklistRule = { ...CPU_RULE, slowerThan: 4, ratePart: 1, queuePart: 1.1 };
const GPU_RULE: BlacklistRule = { slowerThan: 1.5, ratePart: 0.3, queuePart: 0.8, unsetBelow: 1.25 };
/** Latency below which a GPU is judged by `min(5, 15 / latency)` instead of 1.5 [C]. */
const FAST_GPU_MS = 10;

/** What a variant did on a worker in the last second. */
export interface ReplicaSecond {
  readonly arrivalsPerSecond: number;
  /** Mean milliseconds from reaching the worker to the end, of what ended. */
  readonly meanLatencyMs: number;
  /** Sent and not ended. */
  readonly pending: number;
  /** Inputs of a request: 1 here. */
  readonly inputs: number;
}

/**
 * Whether a replica is blacklisted after a second. Set when it is much slower than its line at a considerable rate, or when
 * more waits than it does in 0.8 seconds; unset only when it is fast again and little waits; in between it stays.
 *
 * `replicas`: of the variant on this worker. A CPU with one has the wider thresholds.
 */
export function isBlacklistedAfter(
  was: boolean,
  { fit, isGpu }: Pick<Engine, 'fit' | 'isGpu'>,
  { arrivalsPerSecond, meanLatencyMs, pending, inputs }: ReplicaSecond,
  replicas = 1,
): boolean {
  const fittedLatencyMs = fittedMs(fit, inputs);
  const rule = ruleFor(isGpu, fittedLatencyMs, replicas);
  const capacityPerSecond = 1_000 / fittedLatencyMs;
  const mayWait = rule.queuePart * replicas * capacityPerSecond;
  const isSlow =
    meanLatencyMs > rule.slowerThan * fittedLatencyMs &&
    arrivalsPerSecond > rule.ratePart * capacityPerSecond;
  if (isSlow || pending > mayWait) return true;
  if (pending < mayWait && meanLatencyMs < rule.unsetBelow * fittedLatencyMs) return false;
  return was;
}

function ruleFor(isGpu: boolean, fittedLatencyMs: number, replicas: number): BlacklistRule {
  if (!isGpu) return replicas === 1 ? SINGLE_CPU_RULE : CPU_RULE;
  if (fittedLatencyMs >= FAST_GPU_MS) return GPU_RULE;
  return { ...GPU_RULE, slowerThan: Math.min(5, 15 / fittedLatencyMs) };
}

/** A variant on a worker: which engine of it is in use, and what was counted since the last second. */
export class Replica {
  engine: Engine;
  isBlacklisted = false;
  isLeaving = false;
  arrivalsPerSecond = 0;
  meanLatencyMs = 0;
  scaleDownVotes = 0;
  pending = 0;
  #arrivals = 0;
  #ended = 0;
  #latencySumMs = 0;

  constructor(engine: Engine) {
    this.engine = engine;
  }

  arrived(): void {
    this.#arrivals += 1;
    this.pending += 1;
  }

  /** `latencyMs`: from reaching the worker to the end, answered or dropped. */
  ended(latencyMs: number): void {
    this.pending -= 1;
    this.#ended += 1;
    this.#latencySumMs += latencyMs;
  }

  /** Requests since the second began: what tells replicas apart within it. */
  get arrivalsSoFar(): number {
    return this.#arrivals;
  }

  /** Closes a second. Without an answer the last latency fades: by 15 on a CPU, by 1.5 on a GPU [C]. */
  closeSecond(): void {
    this.arrivalsPerSecond = this.#arrivals;
    this.meanLatencyMs =
      this.#ended > 0
        ? this.#latencySumMs / this.#ended
        : this.meanLatencyMs / (this.engine.isGpu ? 1.5 : 15);
    this.#arrivals = 0;
    this.#ended = 0;
    this.#latencySumMs = 0;
    this.isBlacklisted = isBlacklistedAfter(this.isBlacklisted, this.engine, {
      arrivalsPerSecond: this.arrivalsPerSecond,
      meanLatencyMs: this.meanLatencyMs,
      pending: this.pending,
      inputs: 1,
    });
  }
}
