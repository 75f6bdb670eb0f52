import { normalQuantile } from './distribution.ts';

/** How a forecaster follows what it counts. Each is a share, 0 to 1. */
export interface ForecastRule {
  /** Of a new count that goes into the level (default 0.1). */
  readonly level?: number;
  /** Of a change of level that goes into the trend (default 0.005). */
  readonly trend?: number;
  /** Of the trend that is left after each interval (default 0.9): a rise does not go on for ever. */
  readonly damping?: number;
  /** Of a new squared error that goes into the variance (default 0.02). */
  readonly variance?: number;
}

/** A forecast of one interval's count. */
export interface Forecast {
  readonly mean: number;
  readonly deviation: number;
}

const DEFAULTS: Required<ForecastRule> = { level: 0.1, trend: 0.005, damping: 0.9, variance: 0.02 };

/**
 * Forecasts counts per interval of one stream by exponential smoothing with a damped trend (Gardner & McKenzie 1985; as
 * ETS(A,Ad,N) in Hyndman & Athanasopoulos, "Forecasting: principles and practice", 3rd edition, sections 8.2 and 8.7, whose
 * formula of the variance at a horizon it uses). One step takes a handful of multiplications and keeps five numbers.
 *
 * Until the first count it forecasts nothing: a mean and a deviation of 0.
 */
export class Forecaster {
  readonly #rule: Required<ForecastRule>;
  #count = 0;
  #level = 0;
  #trend = 0;
  #variance = 0;

  constructor(rule: ForecastRule = {}) {
    this.#rule = { ...DEFAULTS, ...rule };
    for (const [name, share] of Object.entries(this.#rule)) {
      if (!(share >= 0 && share <= 1))
        throw new RangeError(`Expected ${name} to be from 0 to 1, got ${share}`);
    }
  }

  /** Takes in the next interval's count, from 0. */
  observe(count: number): void {
    if (!(count >= 0 && count < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`Expected a count from 0, got ${count}`);
    }
    this.#count += 1;
    if (this.#count === 1) {
      this.#level = count;
      return;
    }
    const { level, trend, damping, variance } = this.#rule;
    const error = count - this.#level - damping * this.#trend;
    // In the first intervals the plain mean: a start that happened to be high or low is forgotten at once.
    const weight = Math.max(level, 1 / this.#count);
    this.#level += damping * this.#trend + weight * error;
    this.#trend = damping * this.#trend + trend * error;
    this.#variance += Math.max(variance, 1 / (this.#count - 1)) * (error * error - this.#variance);
  }

  /** The count of the interval that is `horizon` intervals ahead; 1 is the next one. */
  at(horizon: number): Forecast {
    if (!(Number.isInteger(horizon) && horizon >= 1)) {
      throw new RangeError(`Expected the horizon to be a whole number from 1, got ${horizon}`);
    }
    if (this.#count === 0) return { mean: 0, deviation: 0 };
    const mean = Math.max(0, this.#level + dampedSum(this.#rule.damping, horizon) * this.#trend);
    // Counts of independent requests vary as much as their mean (Poisson), however quiet the stream has been so far.
    const oneStep = Math.max(this.#variance, mean);
    return { mean, deviation: Math.sqrt(oneStep * growth(this.#rule, horizon)) };
  }

  /** The count that the interval `horizon` ahead stays below with this probability, from 0. */
  quantile(horizon: number, probability: number): number {
    const { mean, deviation } = this.at(horizon);
    if (deviation === 0) return mean;
    return Math.max(0, mean + deviation * normalQuantile(probability));
  }
}

/** damping + damping² + … with `horizon` terms. */
function dampedSum(damping: number, horizon: number): number {
  if (damping === 1) return horizon;
  return (damping * (1 - damping ** horizon)) / (1 - damping);
}

/** By how much the variance at a horizon exceeds that of one step (table 8.8 of the book, ETS(A,Ad,N)). */
function growth(
  { level: alpha, trend: beta, damping: phi }: Required<ForecastRule>,
  horizon: number,
): number {
  const steps = horizon - 1;
  if (phi === 1) {
    return (
      1 + steps * (alpha * alpha + alpha * beta * horizon + (beta * beta * horizon * (2 * horizon - 1)) / 6)
    );
  }
  const rest = 1 - phi;
  const power = phi ** horizon;
  return (
    1 +
    alpha * alpha * steps +
    ((beta * phi * horizon) / (rest * rest)) * (2 * alpha * rest + beta * phi) -
    ((beta * phi * (1 - power)) / (rest * rest * (1 - phi * phi))) *
      (2 * alpha * (1 - phi * phi) + beta * phi * (1 + 2 * phi - power))
  );
}
