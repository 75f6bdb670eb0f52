/** What an escalation rate starts from. */
export interface EscalationPrior {
  /** Share of inputs that went on to the large stage where it was measured, 0 to 1. */
  readonly value: number;
  /** Inputs that it was measured on. */
  readonly sampleSize: number;
}

/** A cascade in one revision; another revision may escalate otherwise. */
export interface EscalationKey {
  readonly task: string;
  readonly variant: string;
  readonly revision: number;
}

/** Inputs for which what we believed before counts at most, so that live ones soon say more. */
const MAX_PRIOR_INPUTS = 50;
/** Inputs after which a former one counts for 1/e: callers' pictures change with the time of day. */
const MEMORY_INPUTS = 500;
/** Segments that are kept; the one that was used longest ago gives way. */
const MAX_SEGMENTS = 4_096;

/**
 * The rate of one cascade for one kind of caller: a Beta-Bernoulli estimate with exponential forgetting (West & Harrison,
 * "Bayesian Forecasting and Dynamic Models", 1997, chapter 6: the counts decay, the prior does not).
 */
export class EscalationRate {
  #escalated = 0;
  #inputs = 0;

  /** Inputs that it rests on, after forgetting: 0 to `MEMORY_INPUTS`. */
  get inputs(): number {
    return this.#inputs;
  }

  /** The mean of the rate's distribution, 0 to 1; the prior's own value as long as nothing was seen. */
  mean(prior: EscalationPrior): number {
    const weight = Math.min(Math.max(1, prior.sampleSize), MAX_PRIOR_INPUTS);
    return (prior.value * weight + this.#escalated) / (weight + this.#inputs);
  }

  /** Takes in that `escalated` of `inputs` went on to the large stage. */
  observe(escalated: number, inputs: number): void {
    if (!(escalated >= 0 && escalated <= inputs && Number.isFinite(inputs))) {
      throw new RangeError(`Expected from 0 to ${inputs} escalated inputs, got ${escalated}`);
    }
    const kept = Math.exp(-inputs / MEMORY_INPUTS);
    this.#escalated = this.#escalated * kept + escalated;
    this.#inputs = this.#inputs * kept + inputs;
  }
}

/**
 * The escalation rates of all cascades, by caller. A caller of whom little is known is taken to be like all of the
 * cascade's callers, and these, while they are few, like the data that the cascade was measured on. Memory is bounded.
 */
export class EscalationBook {
  readonly #segments = new Map<string, EscalationRate>();

  /** The share of `caller`'s inputs that is expected to go on to the large stage, 0 to 1. */
  rate(key: EscalationKey, caller: string, prior: EscalationPrior): number {
    const all = this.#segments.get(keyOf(key));
    const own = this.#segments.get(keyOf(key, caller));
    if (all === undefined && own === undefined) return prior.value;
    const shared: EscalationPrior =
      all === undefined
        ? prior
        : { value: all.mean(prior), sampleSize: Math.min(prior.sampleSize, MAX_PRIOR_INPUTS) + all.inputs };
    return own === undefined ? shared.value : own.mean(shared);
  }

  /**
   * Takes in that `escalated` of `inputs` of a caller's went on. What a page says of itself (`isReported`) counts for its
   * own caller alone: it is a hint, and must not move the others' decisions.
   */
  observe(
    key: EscalationKey,
    caller: string,
    {
      escalated,
      inputs,
      isReported = false,
    }: {
      readonly escalated: number;
      readonly inputs: number;
      readonly isReported?: boolean;
    },
  ): void {
    if (!isReported) this.#segment(keyOf(key)).observe(escalated, inputs);
    this.#segment(keyOf(key, caller)).observe(escalated, inputs);
  }

  #segment(key: string): EscalationRate {
    const segment = this.#segments.get(key) ?? new EscalationRate();
    this.#segments.delete(key);
    this.#segments.set(key, segment);
    if (this.#segments.size > MAX_SEGMENTS) {
      const [oldest] = this.#segments.keys();
      if (oldest !== undefined) this.#segments.delete(oldest);
    }
    return segment;
  }
}

function keyOf({ task, variant, revision }: EscalationKey, caller?: string): string {
  const cascade = `${task}/${variant}@${revision}`;
  return caller === undefined ? cascade : `${cascade} ${caller}`;
}
