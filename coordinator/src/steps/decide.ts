import {
  chosenOption,
  type Decision,
  decide,
  type IndexChoice,
  type JudgedOption,
  judgeOption,
  type Option,
  type PassedOver,
  type PlacedVariant,
  type RequestSpec,
  ZERO,
} from '@nearfar/core';
import type { Context } from '../context.ts';
import { type Asked, MAX_WEIGHED_OPTIONS, workerOptions } from './options.ts';

/** Decisions among more options than this keep only what was chosen, unless they are to be explained. */
const MAX_KEPT_OPTIONS = 32;

/** Of those, one in so many keeps all the same, for whoever looks at the last decisions. */
const SAMPLED_DECISIONS = 50;

const NOBODY: ReadonlyMap<string, string> = new Map();

/**
 * Where a request should run. `blocked` holds the workers that refused or lost it, with their reasons.
 *
 * The index of the fleet chooses; of a page's request, to which its own network is added, and of one that has a priority, a
 * look at all options does. The other candidates are put into words only for a reader, from what they were at the time: where
 * there are many, of a request that is refused or explained, and of a sample.
 */
export function decideRequest(
  context: Context,
  spec: RequestSpec,
  asked: Asked,
  elapsedMs: number,
  blocked: ReadonlyMap<string, string> = NOBODY,
): Decision {
  const { task, rows, network } = asked;
  const all = () => workerOptions(context, asked, spec, blocked);
  if (network.meanMs > 0) return decide(spec, all(), elapsedMs);
  if (spec.priority > 0) {
    // The index takes waits to be whole queues, which is too careful here.
    const urgent = decide(spec, all(), elapsedMs);
    if (urgent.choice.kind === 'meets-slo') return urgent;
  }
  const choice = context.places.choose({ task, rows, spec, elapsedMs, blocked });
  const passed = choice.passedOver === undefined ? [] : [placedVariant(choice.passedOver)];
  if (choice.kind === 'none') return { ...decide(spec, all(), elapsedMs), passedOver: passed };
  const chosen = judgeOption(spec, frozenOption(context, choice), elapsedMs);
  const considered = context.fleet.size * task.variants.length;
  const isKept =
    spec.explain || considered <= MAX_KEPT_OPTIONS || context.decisions.isSample(SAMPLED_DECISIONS);
  const isWhole = isKept && considered <= MAX_WEIGHED_OPTIONS;
  const options = isKept ? all() : [];
  const kind =
    choice.kind === 'meets-slo'
      ? { kind: choice.kind, isDegraded: choice.isDegraded }
      : { kind: choice.kind };
  let candidates: readonly JudgedOption[] | undefined;
  return {
    choice: { ...kind, chosen },
    ...(!isWhole && { considered }),
    passedOver: passed,
    get candidates() {
      candidates ??= withChosen(
        chosen,
        options.map((option) => judgeOption(spec, option, elapsedMs)),
      );
      return candidates;
    },
  };
}

/** The option of a choice with its calibration as it is now: the index's own follows what is observed. */
function frozenOption({ calibrations }: Context, choice: Exclude<IndexChoice, { kind: 'none' }>): Option {
  const { calibration: _, ...option } = chosenOption(choice, ZERO);
  const calibration = calibrations.curves(choice.offer, choice.offer.group.facts)(choice.worker);
  return { ...option, ...(calibration !== undefined && { calibration }) };
}

function withChosen(chosen: JudgedOption, others: readonly JudgedOption[]): readonly JudgedOption[] {
  const { variant, worker } = chosen.option;
  const at = others.findIndex(({ option }) => option.variant === variant && option.worker === worker);
  return at === -1 ? [chosen, ...others] : others.with(at, chosen);
}

function placedVariant({ offer: { variant, revision, group }, worker }: PassedOver): PlacedVariant {
  const { tier, deviceClass } = group.facts;
  return { variant, revision, tier, deviceClass, worker };
}
