import type { Moments } from '@nearfar/protocol';
import { normalQuantile, onTimeProbability, quantileMs, sumMoments, ZERO } from './distribution.ts';
import { type Blocker, type LatencyParts, type Option, pricedPicoUsd, totalLatency } from './estimate.ts';
import type { RequestSpec } from './request-spec.ts';

/*
 * A cascade as one candidate among the others: the small stage answers, and with the escalation rate e the large one
 * answers after it. So its latency is a mixture, P(on time) = (1 − e)·F₁(d) + e·F₁₊₂(d), and its cost c₁ + e·c₂.
 */

/** A cascade and what can run its stages. */
export interface CascadeFacts {
  readonly variant: string;
  readonly revision: number;
  readonly accuracy: number;
  /** Share of inputs that go on to the large stage, 0 to 1. */
  readonly escalationRate: number;
  readonly isSmall: (option: Option) => boolean;
  readonly isLarge: (option: Option) => boolean;
}

/** What of a request's demands chooses where the stages run. */
export type CascadeDemands = Pick<RequestSpec, 'sloMs' | 'sloTarget' | 'privacy' | 'maxCostPicoUsd'>;

/** The request that cascades are weighed for. */
export interface CascadeRequest {
  /** Inputs along the batch axis; each goes on to the large stage by itself. */
  readonly rows: number;
  /** Milliseconds of the request's budget that are already spent. */
  readonly elapsedMs: number;
  /** The caller's way to the mesh and back, as it is in the options' network part: a mesh that runs both stages needs it once. */
  readonly network?: Moments;
}

/** Options of one stage that are weighed with each of the other stage's. */
const MAX_STAGE_OPTIONS = 6;
/** Where a bisection ends, as a share of the time itself. */
const QUANTILE_PRECISION = 1e-6;
const MAX_DOUBLINGS = 64;

/**
 * One option for each cascade of which both stages could run somewhere: with the pair of places that is the cheapest of
 * those predicted to be on time, else the likeliest to be. Whether a stage is dominated as a variant by itself does not
 * matter: the cascade's threshold was chosen for these two. The order of `options` does not matter either.
 */
export function cascadeOptions(
  spec: CascadeDemands,
  options: readonly Option[],
  cascades: readonly CascadeFacts[],
  request: CascadeRequest,
): Option[] {
  const found: Option[] = [];
  for (const cascade of cascades) {
    let best: Option | undefined;
    for (const { smalls, larges } of stagePlaces(spec, options, cascade)) {
      for (const small of smalls) {
        for (const large of larges) {
          const pair = cascadeOption(cascade, small, large, request);
          if (best === undefined || isBetterPair(spec, pair, best, spec.sloMs - request.elapsedMs))
            best = pair;
        }
      }
    }
    if (best !== undefined) found.push(best);
  }
  return found;
}

interface StagePlaces {
  readonly smalls: readonly Option[];
  readonly larges: readonly Option[];
}

/** Places whose every pair may be weighed: a mesh that runs the small stage cannot ask the page for the large one. */
function stagePlaces(spec: CascadeDemands, options: readonly Option[], cascade: CascadeFacts): StagePlaces[] {
  const isHere = ({ tier }: Option) => tier === 'browser';
  const of = (isStage: (option: Option) => boolean) => stageOptions(spec, options, isStage);
  const places = [
    { smalls: of(cascade.isSmall), larges: of((option) => !isHere(option) && cascade.isLarge(option)) },
  ];
  const largesHere = of((option) => isHere(option) && cascade.isLarge(option));
  if (largesHere.length === 0) return places;
  return [
    ...places,
    { smalls: of((option) => isHere(option) && cascade.isSmall(option)), larges: largesHere },
  ];
}

/**
 * The option of running a cascade with its stages at these two places. Its tier, worker and latency parts are the small
 * stage's, the large one is its `second`; its model is the cascade's own name, by which a request may ask for it.
 */
export function cascadeOption(
  { variant, revision, accuracy, escalationRate }: Omit<CascadeFacts, 'isSmall' | 'isLarge'>,
  small: Option,
  large: Option,
  { rows, network = ZERO }: Pick<CascadeRequest, 'rows' | 'network'>,
): Option {
  // A batch needs the large stage when one of its inputs does, but pays for those inputs alone.
  const rate = rows === 1 ? escalationRate : 1 - (1 - escalationRate) ** rows;
  const isOnMesh = small.tier !== 'browser' && large.tier !== 'browser';
  const pricePicoUsd = (small.pricePicoUsd ?? 0) + escalationRate * (large.pricePicoUsd ?? 0);
  return {
    ...small,
    variant,
    revision,
    model: variant,
    accuracy,
    costPicoUsd: Math.round(small.costPicoUsd + escalationRate * large.costPicoUsd),
    pricePicoUsd: Math.round(pricePicoUsd),
    worstCostPicoUsd: small.worstCostPicoUsd + large.worstCostPicoUsd,
    blockers: [...stageBlockers('small', small), ...stageBlockers('large', large)],
    second: {
      rate,
      first: { ...small, blockers: obstaclesOf(small) },
      option: { ...(isOnMesh ? withoutNetwork(large, network) : large), blockers: obstaclesOf(large) },
    },
  };
}

/**
 * P(whole latency ≤ `deadlineMs`), 0 to 1; for a plain option that of its own latency. Two stages are never faster than the
 * first alone, whatever the log-normal approximation of their sum says. Where both stages are calibrated, the more careful
 * of the two corrections counts for their sum.
 */
export function cascadeProbability(option: Option, deadlineMs: number): number {
  const first = probabilityOf(option, totalLatency(option.parts), deadlineMs);
  const { second } = option;
  if (second === undefined || second.rate <= 0) return first;
  const both = bothLatency(option, second.option);
  const withSecond = Math.min(
    first,
    probabilityOf(option, both, deadlineMs),
    probabilityOf(second.option, both, deadlineMs),
  );
  return (1 - second.rate) * first + second.rate * withSecond;
}

/** The whole latency that a share `quantile` (above 0, below 1) of requests stays below: the inverse of `cascadeProbability`. */
export function cascadeQuantileMs(option: Option, quantile: number): number {
  const first = quantileOf(option, totalLatency(option.parts), quantile);
  const { second } = option;
  if (second === undefined || second.rate <= 0) return first;
  const isReached = (timeMs: number) => cascadeProbability(option, timeMs) >= quantile;
  let low = first;
  let high = Math.max(first, quantileOf(second.option, bothLatency(option, second.option), quantile));
  for (let doubling = 0; !isReached(high); doubling += 1) {
    if (!Number.isFinite(high) || doubling === MAX_DOUBLINGS) return Number.POSITIVE_INFINITY;
    low = high;
    high = Math.max(2 * high, 1e-3);
  }
  while (high - low > QUANTILE_PRECISION * high) {
    const middle = (low + high) / 2;
    if (isReached(middle)) high = middle;
    else low = middle;
  }
  return high;
}

/** Mean of the whole latency, in milliseconds; for a plain option that of its own. */
export function cascadeMeanMs(option: Option): number {
  const { second } = option;
  const first = meanOf(option);
  return second === undefined ? first : first + second.rate * meanOf(second.option);
}

function meanOf({ calibration, parts }: Option): number {
  const time = totalLatency(parts);
  return calibration?.meanMs(time) ?? time.meanMs;
}

function probabilityOf({ calibration }: Option, time: Moments, deadlineMs: number): number {
  return calibration?.probability(time, deadlineMs) ?? onTimeProbability(time, deadlineMs);
}

function quantileOf({ calibration }: Option, time: Moments, quantile: number): number {
  return calibration?.quantileMs(time, quantile) ?? quantileMs(time, quantile);
}

function bothLatency(first: Option, second: Option): Moments {
  return sumMoments([totalLatency(first.parts), totalLatency(second.parts)]);
}

/** The places of a stage that are worth trying: no other is both cheaper and faster. One that is blocked only where all are. */
function stageOptions(
  spec: CascadeDemands,
  options: readonly Option[],
  isStage: (option: Option) => boolean,
): Option[] {
  const spread = normalQuantile(spec.sloTarget);
  // Workers of a class cost the same, so that there are few costs among many places.
  const open = new Map<number, StageOption>();
  const blocked = new Map<number, StageOption>();
  for (const option of options) {
    if (!isStage(option)) continue;
    const entry = { option, pricedPicoUsd: pricedPicoUsd(option), reachMs: reachOf(option, spec, spread) };
    const places = mayGo(spec, option) && !isBlocked(option) ? open : blocked;
    const best = places.get(entry.pricedPicoUsd);
    if (best === undefined || isSooner(entry, best)) places.set(entry.pricedPicoUsd, entry);
  }
  const ranked = [...(open.size > 0 ? open : blocked).values()].sort(
    (a, b) => a.pricedPicoUsd - b.pricedPicoUsd,
  );
  // In the order of their costs, each is to be faster than all before it; the cheapest is there in any case.
  const frontier: Option[] = [];
  let fastestMs = Number.POSITIVE_INFINITY;
  for (const { option, reachMs } of ranked) {
    if (frontier.length > 0 && !(reachMs < fastestMs)) continue;
    fastestMs = Math.min(fastestMs, reachMs);
    frontier.push(option);
  }
  return frontier.length <= MAX_STAGE_OPTIONS ? frontier : spreadOver(frontier, MAX_STAGE_OPTIONS);
}

interface StageOption {
  readonly option: Option;
  readonly pricedPicoUsd: number;
  /** About what its latency stays below. */
  readonly reachMs: number;
}

function isSooner(a: StageOption, b: StageOption): boolean {
  if (a.reachMs === b.reachMs) return compareNames(a.option, b.option) < 0;
  return a.reachMs < b.reachMs;
}

/** Of a longer list `count` entries: its first, its last and others at equal distances. */
function spreadOver<Item>(items: readonly Item[], count: number): Item[] {
  const last = items.length - 1;
  return items.filter((_, index) =>
    Array.from({ length: count }, (_, step) => Math.round((step * last) / (count - 1))).includes(index),
  );
}

/** About what the option's latency stays below; exact quantiles would not add up either. */
function reachOf(option: Option, { sloTarget }: CascadeDemands, spread: number): number {
  const time = totalLatency(option.parts);
  return (
    option.calibration?.quantileMs(time, sloTarget) ?? time.meanMs + spread * Math.sqrt(time.varianceMs2)
  );
}

function isBetterPair(spec: CascadeDemands, a: Option, b: Option, deadlineMs: number): boolean {
  const aProbability = cascadeProbability(a, deadlineMs);
  const bProbability = cascadeProbability(b, deadlineMs);
  const [aWill, bWill] = [willDo(spec, a, aProbability), willDo(spec, b, bProbability)];
  if (aWill !== bWill) return aWill;
  const byTime = cascadeMeanMs(a) - cascadeMeanMs(b);
  const order = aWill
    ? pricedPicoUsd(a) - pricedPicoUsd(b) || byTime
    : bProbability - aProbability || byTime || pricedPicoUsd(a) - pricedPicoUsd(b);
  return (order || compareNames(a, b) || compareNames(a.second?.option ?? a, b.second?.option ?? b)) < 0;
}

function willDo({ sloTarget, maxCostPicoUsd }: CascadeDemands, option: Option, probability: number): boolean {
  return (
    probability >= sloTarget && (maxCostPicoUsd === undefined || option.worstCostPicoUsd <= maxCostPicoUsd)
  );
}

function mayGo({ privacy }: CascadeDemands, { tier }: Option): boolean {
  return privacy === 'local_only' ? tier === 'browser' : privacy !== 'no_pool' || tier !== 'pool';
}

/** What keeps an option from being a stage: dominated by another variant it may be. */
function obstaclesOf({ blockers }: Option): readonly Blocker[] {
  return blockers.filter(({ code }) => code !== 'dominated');
}

function isBlocked({ blockers }: Option): boolean {
  return blockers.some(({ code }) => code !== 'dominated');
}

function stageBlockers(stage: 'small' | 'large', option: Option): Blocker[] {
  return obstaclesOf(option).map(({ code, message }) => ({
    code,
    message: `Its ${stage} stage: ${message}`,
  }));
}

function withoutNetwork({ uncorrected, ...option }: Option, network: Moments): Option {
  const without = (parts: LatencyParts): LatencyParts => ({
    ...parts,
    network: {
      meanMs: Math.max(0, parts.network.meanMs - network.meanMs),
      varianceMs2: Math.max(0, parts.network.varianceMs2 - network.varianceMs2),
    },
  });
  return {
    ...option,
    parts: without(option.parts),
    ...(uncorrected !== undefined && { uncorrected: without(uncorrected) }),
  };
}

function compareNames(a: Option, b: Option): number {
  if (a.variant !== b.variant) return a.variant < b.variant ? -1 : 1;
  if (a.tier !== b.tier) return a.tier < b.tier ? -1 : 1;
  if (a.worker === b.worker) return 0;
  return a.worker < b.worker ? -1 : 1;
}
