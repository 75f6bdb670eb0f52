import * as v from 'valibot';
import { LIMITS } from './limits.ts';

const finite = v.pipe(v.number(), v.finite());
const unit = v.pipe(finite, v.minValue(0), v.maxValue(1));

/** A tail at 1 is without end, so that nothing would ever be on time with certainty: the largest share that is used. */
const MAX_SLO_TARGET = 0.9999;

/**
 * The flat request `parameters` of DESIGN 4.1, as a caller may send them and as a manifest may set them as defaults.
 * Unknown parameters are kept out silently: other clients of the protocol send their own.
 */
export const parametersSchema = v.object({
  /** Soft deadline in milliseconds, above 0. */
  slo_ms: v.optional(v.pipe(finite, v.gtValue(0), v.maxValue(LIMITS.maxSloMs))),
  /** Share of requests that must meet the deadline, 0 to 1; above 0.9999 it counts as 0.9999. */
  slo_target: v.optional(
    v.pipe(
      unit,
      v.transform((share) => Math.min(share, MAX_SLO_TARGET)),
    ),
  ),
  /** Lowest accuracy that will do, 0 to 1. */
  min_accuracy: v.optional(unit),
  /** Accuracy that will still do where nothing of `min_accuracy` is on time, 0 to 1; absent = none below it. */
  degrade_to: v.optional(unit),
  /** Restricts the choice to one model. */
  model: v.optional(v.string()),
  /** Bound on the worst-case cost of this request in US dollars. */
  max_cost_usd: v.optional(v.pipe(finite, v.minValue(0))),
  prefer: v.optional(v.picklist(['cost', 'accuracy'])),
  /** `no_pool` keeps the payload off the pool, `local_only` keeps it in the caller's own device. */
  privacy: v.optional(v.picklist(['any', 'no_pool', 'local_only'])),
  on_infeasible: v.optional(v.picklist(['best_effort', 'reject'])),
  /** 1 is the highest, 0 the default (Triton's rule). */
  priority: v.optional(v.pipe(finite, v.integer(), v.minValue(0), v.maxValue(255))),
  /** Hard stop in microseconds, as Triton has it: after it the answer is an error. */
  timeout: v.optional(v.pipe(finite, v.integer(), v.minValue(1), v.maxValue(LIMITS.maxSloMs * 1000))),
  /** Put the whole explanation into the answer. */
  explain: v.optional(v.boolean()),
});
export type Parameters = v.InferOutput<typeof parametersSchema>;
