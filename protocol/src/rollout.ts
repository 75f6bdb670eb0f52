import * as v from 'valibot';

/** How traffic goes from one revision of a task to the next, once the next is warm. */
export const rolloutEntries = {
  /** `now`: all at once. `canary`: a share is answered by the new one. `shadow`: a share is run by both, the old one answers. */
  mode: v.picklist(['now', 'canary', 'shadow']),
  /** Share of requests that the new revision sees; above 0, at most 1. Of no meaning for `now`. */
  share: v.optional(v.pipe(v.number(), v.gtValue(0), v.maxValue(1)), 1),
} as const;
export const rolloutSchema = v.object(rolloutEntries);
export type Rollout = v.InferOutput<typeof rolloutSchema>;
