import { cascadeMeanMs, cascadeProbability, cascadeQuantileMs } from './cascade-option.ts';
import { toUsd } from './cost.ts';
import { type Option, pricedPicoUsd } from './estimate.ts';
import type { RequestSpec } from './request-spec.ts';

/** Why an option is not feasible for a request. */
export interface Reason {
  readonly code:
    | Option['blockers'][number]['code']
    | 'other-model'
    | 'other-variant'
    | 'accuracy-below-minimum'
    | 'privacy'
    | 'cost-above-cap'
    | 'too-slow';
  readonly message: string;
}

/** An option, what is predicted of it for this request, and whether it will do. */
export interface JudgedOption {
  readonly option: Option;
  /** What the request had spent when it was decided; part of the two figures below. */
  readonly spentMs: number;
  /** Predicted mean of the whole latency, counted like the deadline. */
  readonly predictedMs: number;
  /** Predicted latency that a share `sloTarget` of requests stays below, counted like the deadline. */
  readonly tailMs: number;
  /** P(latency ≤ deadline). */
  readonly onTimeProbability: number;
  /** Empty = feasible. */
  readonly reasons: readonly Reason[];
}

/** What was decided. `best-effort` breaks the deadline and nothing else. */
export type Choice =
  | {
      readonly kind: 'meets-slo';
      readonly chosen: JudgedOption;
      /** Whether it is less accurate than asked for, as the caller allows where nothing else is on time. */
      readonly isDegraded: boolean;
    }
  | { readonly kind: 'best-effort'; readonly chosen: JudgedOption }
  | {
      readonly kind: 'refused';
      readonly message: string;
      readonly nearest: NearestFeasible;
      /** In how many milliseconds queues are predicted to let something be on time; absent = not by waiting for them. */
      readonly retryAfterMs?: number;
    };

/** A variant at a place, as calibrations know it. */
export type PlacedVariant = Pick<Option, 'variant' | 'revision' | 'tier' | 'deviceClass' | 'worker'>;

/** The choice, and the candidates with their numbers: all of them, or those that were kept of `considered` many. */
export interface Decision {
  readonly candidates: readonly JudgedOption[];
  readonly choice: Choice;
  /** Absent = as many as there are candidates. */
  readonly considered?: number;
  /** What `passedOver` says of all that were considered; absent where all were kept. */
  readonly passedOver?: readonly PlacedVariant[];
}

/** For each demand that alone stands in the way: the value with which something would have been feasible. */
export interface NearestFeasible {
  readonly slo_ms?: number;
  readonly min_accuracy?: number;
  readonly max_cost_usd?: number;
  readonly privacy?: 'any' | 'no_pool';
}

/**
 * Decides where a request runs.
 *
 * Feasible is an option without blockers whose accuracy, privacy and worst-case cost hold and for which
 * P(latency ≤ deadline) ≥ target. Among the feasible the cheapest wins, among equally cheap the more accurate, then
 * the faster, then the first by name: equal facts give equal choices in any order. `prefer: accuracy` asks for the
 * most accurate first. Where nothing is feasible and the caller names an accuracy that will still do, `degradeTo`, the rule
 * is asked again with that one; who does not name one never gets less than it asked for. When only the deadline stands in
 * the way, `best_effort` takes the option most likely to meet it, of each variant on each class of devices the
 * soonest; no other demand is ever broken.
 *
 * @param elapsedMs milliseconds of the request's budget that are already spent.
 */
export function decide(spec: RequestSpec, options: readonly Option[], elapsedMs = 0): Decision {
  const candidates = options.map((option) => judgeOption(spec, option, elapsedMs));
  const order = spec.prefer === 'accuracy' ? BY_ACCURACY : BY_COST;
  const feasible = candidates.filter((candidate) => candidate.reasons.length === 0);
  const best = first(feasible, order);
  if (best !== undefined) {
    return { candidates, choice: { kind: 'meets-slo', chosen: best, isDegraded: false } };
  }
  const lesser = first(candidates.filter(isAllowedBelow(spec)), order);
  if (lesser !== undefined) {
    return { candidates, choice: { kind: 'meets-slo', chosen: lesser, isDegraded: true } };
  }

  const late = candidates.filter((candidate) =>
    candidate.reasons.every((reason) => reason.code === 'too-slow'),
  );
  const likeliest = first(soonestOfKinds(late), BY_PUNCTUALITY);
  if (likeliest !== undefined && spec.onInfeasible === 'best_effort') {
    return { candidates, choice: { kind: 'best-effort', chosen: likeliest } };
  }
  const message = refusalMessage(candidates);
  const afterMs = retryAfterMs(spec, candidates);
  return {
    candidates,
    choice: {
      kind: 'refused',
      message,
      nearest: nearestFeasible(candidates),
      ...(afterMs !== undefined && { retryAfterMs: afterMs }),
    },
  };
}

/**
 * The place that a request would have gone to, had the calibration of its latency not said that it would be late; of a
 * cascade both stages. Empty when there was none. See `CalibrationBook.passedOver`.
 */
export function passedOver(spec: RequestSpec, decision: Decision): readonly PlacedVariant[] {
  // Not to be asked for before: where this is known, the candidates may be judged only when somebody looks at them.
  if (decision.passedOver !== undefined) return decision.passedOver;
  const { candidates, choice } = decision;
  const order = spec.prefer === 'accuracy' ? BY_ACCURACY : BY_COST;
  const passed = candidates.filter((candidate) => {
    const { option, reasons, spentMs } = candidate;
    if (reasons.length !== 1 || reasons[0]?.code !== 'too-slow' || !isCorrected(option)) return false;
    // A less accurate one than asked for was chosen only because none of these would do.
    const isPreferred = choice.kind === 'meets-slo' && !choice.isDegraded;
    if (isPreferred && order(candidate, choice.chosen) > 0) return false;
    return cascadeProbability(uncorrected(option), spec.sloMs - spentMs) >= spec.sloTarget;
  });
  const best = first(passed, order)?.option;
  if (best === undefined) return [];
  return best.second === undefined ? [best] : [best.second.first, best.second.option];
}

function isCorrected({ calibration, uncorrected: bare, second }: Option): boolean {
  return (
    calibration !== undefined || bare !== undefined || (second !== undefined && isCorrected(second.option))
  );
}

function uncorrected({ calibration: _, uncorrected: bare, second, ...option }: Option): Option {
  const parts = bare ?? option.parts;
  if (second === undefined) return { ...option, parts };
  return { ...option, parts, second: { ...second, option: uncorrected(second.option) } };
}

/** What is predicted of one option for a request, and why it will not do, if it will not. */
export function judgeOption(spec: RequestSpec, option: Option, spentMs: number): JudgedOption {
  const probability = cascadeProbability(option, spec.sloMs - spentMs);
  const reasons: Reason[] = [...option.blockers];
  if (spec.model !== undefined && option.model !== spec.model) {
    reasons.push({ code: 'other-model', message: `The request asks for model "${spec.model}"` });
  }
  if (spec.variant !== undefined && option.variant !== spec.variant) {
    reasons.push({ code: 'other-variant', message: `The request asks for variant "${spec.variant}"` });
  }
  if (option.accuracy < spec.minAccuracy) {
    reasons.push({
      code: 'accuracy-below-minimum',
      message: `Accuracy ${option.accuracy} is below the minimum of ${spec.minAccuracy}`,
    });
  }
  if (!keepsPrivacy(spec, option)) {
    reasons.push({
      code: 'privacy',
      message: `Privacy "${spec.privacy}" keeps the payload off the ${placesOf(option)}`,
    });
  }
  if (spec.maxCostPicoUsd !== undefined && option.worstCostPicoUsd > spec.maxCostPicoUsd) {
    reasons.push({
      code: 'cost-above-cap',
      message: `Worst-case cost ${usd(option.worstCostPicoUsd)} is above the cap of ${usd(spec.maxCostPicoUsd)}`,
    });
  }
  // Written so that a figure that is no number is never feasible.
  if (!(probability >= spec.sloTarget)) {
    reasons.push({
      code: 'too-slow',
      message: `P(latency ≤ ${round(spec.sloMs)} ms) is ${percent(probability)}, below the target of ${percent(spec.sloTarget)}`,
    });
  }
  return {
    option,
    spentMs,
    predictedMs: spentMs + cascadeMeanMs(option),
    // Found when somebody asks: for a cascade it takes a search, and most decisions need it of no candidate.
    get tailMs() {
      return spentMs + cascadeQuantileMs(option, spec.sloTarget);
    },
    onTimeProbability: probability,
    reasons,
  };
}

/**
 * Of each variant on each class of devices the soonest. A longer wait is also a vaguer one, which may make a hopeless place
 * look a little less so: no reason to prefer it.
 */
function soonestOfKinds(candidates: readonly JudgedOption[]): JudgedOption[] {
  const soonest = new Map<string, JudgedOption>();
  for (const candidate of candidates) {
    const { option } = candidate;
    const kind = `${option.variant} ${option.tier} ${option.deviceClass}`;
    const known = soonest.get(kind);
    const isSooner =
      known === undefined ||
      candidate.predictedMs < known.predictedMs ||
      (candidate.predictedMs === known.predictedMs && byName(candidate, known) < 0);
    if (isSooner) soonest.set(kind, candidate);
  }
  return [...soonest.values()];
}

/** Whether only the accuracy keeps a candidate out, by no more than the caller allows where nothing else is on time. */
function isAllowedBelow({ degradeTo }: RequestSpec): (candidate: JudgedOption) => boolean {
  return ({ option, reasons }) =>
    degradeTo !== undefined &&
    option.accuracy >= degradeTo &&
    reasons.every(({ code }) => code === 'accuracy-below-minimum');
}

function keepsPrivacy({ privacy }: RequestSpec, { tier, second }: Option): boolean {
  return [tier, second?.option.tier ?? tier].every((place) =>
    privacy === 'local_only' ? place === 'browser' : privacy !== 'no_pool' || place !== 'pool',
  );
}

function placesOf({ tier, second }: Option): string {
  const other = second?.option.tier;
  return other === undefined || other === tier ? `${tier} tier` : `${tier} or the ${other} tier`;
}

type Order = (a: JudgedOption, b: JudgedOption) => number;

const byName: Order = (a, b) =>
  compare(a.option.variant, b.option.variant) ||
  compare(a.option.tier, b.option.tier) ||
  compare(a.option.worker, b.option.worker);

const BY_COST: Order = (a, b) =>
  pricedPicoUsd(a.option) - pricedPicoUsd(b.option) ||
  b.option.accuracy - a.option.accuracy ||
  a.predictedMs - b.predictedMs ||
  byName(a, b);

const BY_ACCURACY: Order = (a, b) => b.option.accuracy - a.option.accuracy || BY_COST(a, b);

const BY_PUNCTUALITY: Order = (a, b) =>
  b.onTimeProbability - a.onTimeProbability || a.predictedMs - b.predictedMs || BY_COST(a, b);

function first(candidates: readonly JudgedOption[], order: Order): JudgedOption | undefined {
  let best: JudgedOption | undefined;
  for (const candidate of candidates) {
    if (best === undefined || order(candidate, best) < 0) best = candidate;
  }
  return best;
}

function refusalMessage(candidates: readonly JudgedOption[]): string {
  if (candidates.length === 0) return 'No worker or device offers a variant of this task';
  const counts = new Map<string, number>();
  for (const { reasons } of candidates) {
    for (const { code } of reasons) counts.set(code, (counts.get(code) ?? 0) + 1);
  }
  const summary = [...counts].map(([code, count]) => `${code} × ${count}`).join(', ');
  return `None of ${candidates.length} candidates is feasible: ${summary}`;
}

/** For each single demand: how far it would have to give way for something to be feasible. */
function nearestFeasible(candidates: readonly JudgedOption[]): NearestFeasible {
  const blockedOnlyBy = (code: Reason['code']) =>
    candidates.filter(({ reasons }) => reasons.length > 0 && reasons.every((reason) => reason.code === code));
  const slow = blockedOnlyBy('too-slow').map((candidate) => Math.ceil(candidate.tailMs));
  const inaccurate = blockedOnlyBy('accuracy-below-minimum').map((candidate) => candidate.option.accuracy);
  const costly = blockedOnlyBy('cost-above-cap').map((candidate) => candidate.option.worstCostPicoUsd);
  // Of a cascade, the stage that is kept to fewer places.
  const secret = blockedOnlyBy('privacy').map(({ option: { tier, second } }) =>
    second?.option.tier === 'pool' || tier === 'pool' ? 'pool' : 'edge',
  );
  return {
    ...(slow.length > 0 && { slo_ms: Math.min(...slow) }),
    ...(inaccurate.length > 0 && { min_accuracy: Math.max(...inaccurate) }),
    ...(costly.length > 0 && { max_cost_usd: toUsd(Math.min(...costly)) }),
    ...(secret.length > 0 && { privacy: secret.includes('edge') ? ('no_pool' as const) : ('any' as const) }),
  };
}

/** Halvings of the time that is looked for; the rest is below a thousandth of it. */
const RETRY_HALVINGS = 10;

/** The shortest time in which the queue of a candidate that only its load keeps out will let it be on time. */
function retryAfterMs(spec: RequestSpec, candidates: readonly JudgedOption[]): number | undefined {
  let soonestMs = Number.POSITIVE_INFINITY;
  for (const { option, reasons, spentMs } of candidates) {
    if (reasons.length === 0 || !reasons.every(({ code }) => LOAD_CODES.has(code))) continue;
    const { queue, compute } = option.parts;
    const isOnTimeIn = (ms: number) => {
      const share = queue.meanMs > 0 ? Math.max(0, 1 - ms / queue.meanMs) : 0;
      const shorter = { meanMs: queue.meanMs * share, varianceMs2: queue.varianceMs2 * share * share };
      const later = { ...option, parts: { ...option.parts, queue: shorter } };
      return cascadeProbability(later, spec.sloMs - spentMs) >= spec.sloTarget;
    };
    // A full queue has room again when one of its requests has been answered.
    let early = reasons.some(({ code }) => code === 'queue-full') ? compute.meanMs : 0;
    let late = Math.max(early, Math.min(queue.meanMs, soonestMs));
    if (early >= soonestMs || !isOnTimeIn(late)) continue;
    for (let halving = 0; halving < RETRY_HALVINGS && !isOnTimeIn(early); halving += 1) {
      const middle = (early + late) / 2;
      if (isOnTimeIn(middle)) late = middle;
      else early = middle;
    }
    soonestMs = isOnTimeIn(early) ? early : late;
  }
  return Number.isFinite(soonestMs) ? soonestMs : undefined;
}

/** What keeps a candidate out for as long as there is too much to do. */
const LOAD_CODES: ReadonlySet<Reason['code']> = new Set(['queue-full', 'too-slow']);

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function usd(picoUsd: number): string {
  return `$${toUsd(picoUsd).toPrecision(3)}`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
