import type { Candidate } from '@nearfar/protocol';
import { toUsd } from './cost.ts';
import type { Decision, JudgedOption } from './decide.ts';

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
    parts: option.parts,
    predictedMs,
    tailMs: Number.isFinite(tailMs) ? tailMs : null,
    onTimeProbability,
    costUsd: toUsd(option.costPicoUsd),
    worstCostUsd: toUsd(option.worstCostPicoUsd),
    verdict: isChosen ? 'chosen' : reasons.length === 0 ? 'feasible' : 'infeasible',
    reasons: [...reasons],
  };
}
