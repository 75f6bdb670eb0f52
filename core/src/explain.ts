import type { Candidate } from '@nearfar/protocol';
import { calibratedParts } from './calibrated-parts.ts';
import { toUsd } from './cost.ts';
import type { Decision, JudgedOption } from './decide.ts';
import type { Option } from './estimate.ts';

/** Every candidate of a decision as an explanation lists it, in the order in which they were judged. */
export function explainCandidates({ candidates, choice }: Decision): Candidate[] {
  const chosen = choice.kind === 'refused' ? undefined : choice.chosen;
  return candidates.map((candidate) => explainCandidate(candidate, candidate === chosen));
}

function explainCandidate(judged: JudgedOption, isChosen: boolean): Candidate {
  const { option, spentMs, predictedMs, tailMs, onTimeProbability, reasons } = judged;
  return {
    variant: option.variant,
    tier: option.tier,
    worker: option.worker,
    deviceClass: option.deviceClass,
    accuracy: option.accuracy,
    spentMs,
    parts: partsOf(option),
    predictedMs,
    tailMs: Number.isFinite(tailMs) ? tailMs : null,
    onTimeProbability,
    costUsd: toUsd(option.costPicoUsd),
    worstCostUsd: toUsd(option.worstCostPicoUsd),
    ...(option.second !== undefined && { second: explainSecond(option.second) }),
    verdict: isChosen ? 'chosen' : reasons.length === 0 ? 'feasible' : 'infeasible',
    reasons: [...reasons],
  };
}

function explainSecond({ rate, option }: NonNullable<Option['second']>): NonNullable<Candidate['second']> {
  const { variant, tier, worker, deviceClass } = option;
  const parts = partsOf(option);
  const [costUsd, worstCostUsd] = [toUsd(option.costPicoUsd), toUsd(option.worstCostPicoUsd)];
  return { rate, variant, tier, worker, deviceClass, parts, costUsd, worstCostUsd };
}

/** As they were calibrated, so that they add up to what was predicted. */
function partsOf({ parts, calibration }: Option): Option['parts'] {
  return calibration === undefined ? parts : calibratedParts(parts, calibration);
}
