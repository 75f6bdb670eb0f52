import type { Engine } from './engines.ts';

/*
 * INFaaS's choice of an engine for a request, as released: `gpar_lat_acc_search` of queryfe_server.cc with the default
 * decision mode 6. Pure; what the master reads from Redis comes in as `EngineState`.
 */

/** Engines of recent answers that are tried first [C: gmod_max_lru]. */
const RECENT_ENGINES = 5;
/** Part of the SLO that a decision may take [C]. */
const DECISION_SHARE_OF_SLO = 0.15;
/** Milliseconds to look up one variant's metadata [C: gmod_md_lat]. */
const LOOKUP_MS = 0.6;
const LEAST_CANDIDATES = 3;
/** Milliseconds added to engines that do not run, so that one that runs is always better [C]. */
const NOT_RUNNING_PENALTY_MS = 1_000;
/** Above this SLO, and below this latency, a GPU is not taken: "Don't pick GPU for CPU constraint" [C]. */
const LOOSE_SLO_MS = 100;

/** What is known of an engine at the moment of a decision. */
export interface EngineState {
  /** Whether a worker that is not giving it up holds it. */
  readonly isRunning: boolean;
  /** Whether the replica with the fewest requests a second is blacklisted. */
  readonly isBlacklisted: boolean;
}

export interface SelectionRequest {
  readonly task: string;
  readonly sloMs: number;
  readonly minAccuracy: number;
}

/** The engine for a request; `isPlaced` = a running replica takes it, else a worker has to be found. */
export interface Selection {
  readonly engine: Engine;
  readonly isPlaced: boolean;
}

/** How many engines a decision looks at: at least 3, more where the SLO leaves the time. */
export function candidateLimit(sloMs: number): number {
  // A quotient such as 75 may come out a hair below in floating point.
  return Math.max(LEAST_CANDIDATES, Math.floor((sloMs * DECISION_SHARE_OF_SLO) / LOOKUP_MS + 1e-9));
}

/**
 * Chooses an engine, undefined where none can meet accuracy and SLO.
 *
 * First the engines of recent answers, most recent first; of the same task only, where the released code would serve a
 * request of one task with another's network. Then the first `candidateLimit` of `engines` (in the order of accuracy) that
 * are accurate enough: of the running ones that are not blacklisted, the one with the least slack to the SLO; else a
 * blacklisted GPU engine with the least slack, which asks for a further worker; else of those that do not run the one with
 * the least `1,000 + load + latency`, among ever smaller batches as they come.
 *
 * With an SLO above 100 ms, GPU engines faster than 100 ms are passed over. The released code passes over every engine that
 * is faster, CPUs too, and answers UNAVAILABLE when nothing is left; here the rule is for GPUs, and given up when nothing
 * else fits.
 */
export function selectEngine(
  request: SelectionRequest,
  engines: readonly Engine[],
  recent: readonly Engine[],
  stateOf: (engine: Engine) => EngineState,
): Selection | undefined {
  return (
    fromRecent(request, recent, stateOf) ??
    fromBin(request, engines, stateOf, true) ??
    fromBin(request, engines, stateOf, false)
  );
}

function fits({ sloMs, minAccuracy }: SelectionRequest, engine: Engine, passesOverGpus: boolean): boolean {
  if (engine.accuracy < minAccuracy || engine.latencyMs > sloMs) return false;
  return !(passesOverGpus && engine.isGpu && sloMs > LOOSE_SLO_MS && engine.latencyMs < LOOSE_SLO_MS);
}

function fromRecent(
  request: SelectionRequest,
  recent: readonly Engine[],
  stateOf: (engine: Engine) => EngineState,
): Selection | undefined {
  for (const engine of recent) {
    if (engine.task !== request.task || !fits(request, engine, true)) continue;
    const { isRunning, isBlacklisted } = stateOf(engine);
    if (!isRunning) continue;
    if (!isBlacklisted) return { engine, isPlaced: true };
    // A blacklisted GPU ends the search: a further worker is wanted for it. A blacklisted CPU is passed over.
    if (engine.isGpu) return { engine, isPlaced: false };
  }
  return undefined;
}

function fromBin(
  request: SelectionRequest,
  engines: readonly Engine[],
  stateOf: (engine: Engine) => EngineState,
  passesOverGpus: boolean,
): Selection | undefined {
  let left = candidateLimit(request.sloMs);
  let running: Engine | undefined;
  let blacklistedGpu: Engine | undefined;
  let idle: Engine | undefined;
  let idleCpu: Engine | undefined;
  let isCpuBlacklisted = false;
  let smallestBatch = Number.POSITIVE_INFINITY;
  for (const engine of engines) {
    if (engine.accuracy < request.minAccuracy) continue;
    if (left === 0) break;
    left -= 1;
    const isSmaller = engine.maxBatch < smallestBatch;
    smallestBatch = Math.min(smallestBatch, engine.maxBatch);
    if (!fits(request, engine, passesOverGpus)) continue;
    const { isRunning, isBlacklisted } = stateOf(engine);
    if (isRunning && !isBlacklisted) running = slower(running, engine);
    else if (isRunning && engine.isGpu) blacklistedGpu = slower(blacklistedGpu, engine);
    else if (isRunning) isCpuBlacklisted = true;
    else {
      if (isSmaller || !engine.isGpu) idle = sooner(idle, engine);
      if (!engine.isGpu && request.sloMs > LOOSE_SLO_MS) idleCpu = sooner(idleCpu, engine);
    }
  }
  if (running !== undefined) return { engine: running, isPlaced: true };
  // A loose SLO with nothing running is met by a CPU, unless one is overloaded already.
  const next = (isCpuBlacklisted ? undefined : idleCpu) ?? blacklistedGpu ?? idle;
  return next && { engine: next, isPlaced: false };
}

/** The one with less slack, so the slower of two that fit: just fast enough is taken for cheapest. Ties: the first. */
function slower(best: Engine | undefined, engine: Engine): Engine {
  return best === undefined || engine.latencyMs > best.latencyMs ? engine : best;
}

function sooner(best: Engine | undefined, engine: Engine): Engine {
  return best === undefined || totalMs(engine) < totalMs(best) ? engine : best;
}

function totalMs({ loadMs, latencyMs }: Engine): number {
  return NOT_RUNNING_PENALTY_MS + loadMs + latencyMs;
}

/** The recent engines after one was chosen: it comes first, and the oldest of more than 5 leaves. */
export function remember(recent: readonly Engine[], engine: Engine): Engine[] {
  return [engine, ...recent.filter(({ key }) => key !== engine.key)].slice(0, RECENT_ENGINES);
}
