import type { LeaseCounts } from '@nearfar/core';
import type { PromiseCount } from './calibrations.ts';

/** Upper bounds of the latency histogram, in seconds. */
const BOUNDS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Most label sets of one metric; more are dropped, so that callers cannot make the page grow without end. */
const MAX_SERIES = 10_000;

type Labels = Readonly<Record<string, string>>;

interface Histogram {
  readonly counts: number[];
  sum: number;
  count: number;
}

/**
 * What `/metrics` shows, in the Prometheus text format (version 0.0.4).
 *
 * Written by hand, since prom-client needs modules of Node that other runtimes lack.
 */
export class Metrics {
  readonly #requests = new Map<string, number>();
  readonly #costs = new Map<string, number>();
  readonly #revisions = new Map<string, number>();
  readonly #shadows = new Map<string, number>();
  readonly #errors = new Map<string, number>();
  readonly #latencies = new Map<string, Histogram>();
  readonly #hedges = new Map<string, number>();
  #leasedRuns = 0;
  #wastedMs = 0;

  /** Counts an answered, failed or cancelled request. */
  request(labels: { task: string; tier: string; status: string }, totalMs: number, costUsd: number): void {
    increment(this.#requests, labelText(labels), 1);
    const place = labelText({ task: labels.task, tier: labels.tier });
    increment(this.#costs, place, costUsd);
    let histogram = this.#latencies.get(place);
    if (histogram === undefined) {
      if (this.#latencies.size >= MAX_SERIES) return;
      histogram = { counts: BOUNDS_SECONDS.map(() => 0), sum: 0, count: 0 };
      this.#latencies.set(place, histogram);
    }
    const seconds = totalMs / 1_000;
    histogram.sum += seconds;
    histogram.count += 1;
    for (const [index, bound] of BOUNDS_SECONDS.entries()) {
      if (seconds <= bound) histogram.counts[index] = (histogram.counts[index] ?? 0) + 1;
    }
  }

  /** Counts a request by the revision that was to answer it. */
  revision(labels: { task: string; revision: string; status: string }): void {
    increment(this.#revisions, labelText(labels), 1);
  }

  /** Counts a request that a revision on its way ran, or was to run, for comparison. */
  shadow(labels: { task: string; revision: string; result: string }): void {
    increment(this.#shadows, labelText(labels), 1);
  }

  /** Counts a second execution by what came of it: its answer was used, was not needed, or it never ran. */
  hedge(outcome: 'won' | 'lost' | 'cancelled'): void {
    increment(this.#hedges, labelText({ outcome }), 1);
  }

  /** Counts work of which another execution's answer was used. */
  wasted(busyMs: number): void {
    this.#wastedMs += busyMs;
  }

  /** Counts a request that a page says it ran itself under a lease. */
  leasedRun(): void {
    this.#leasedRuns += 1;
  }

  /** Counts an error that a caller got. */
  error(code: string): void {
    increment(this.#errors, labelText({ code }), 1);
  }

  /** The whole page; `workers` counts the fleet by tier and state, `leases` what pages were granted, `promises` what was promised. */
  render(
    workers: readonly { readonly tier: string; readonly state: string; readonly waiting: number }[],
    leases: LeaseCounts,
    promises: readonly PromiseCount[],
  ): string {
    const { open, ...settled } = leases;
    const leased = new Map(
      Object.entries({ ...settled, local: this.#leasedRuns }).map(([state, count]) => [
        labelText({ state }),
        count,
      ]),
    );
    const promised = new Map(
      promises.flatMap(({ level, kept, broken }) => [
        [labelText({ level: String(level), kept: 'true' }), kept] as const,
        [labelText({ level: String(level), kept: 'false' }), broken] as const,
      ]),
    );
    const byPlace = new Map<string, number>();
    const waiting = new Map<string, number>();
    for (const { tier, state, waiting: count } of workers) {
      increment(byPlace, labelText({ tier, state }), 1);
      increment(waiting, labelText({ tier }), count);
    }
    return [
      ...lines('nearfar_requests_total', 'counter', 'Requests by task, tier and status.', this.#requests),
      ...lines('nearfar_cost_usd_total', 'counter', 'Attributed cost in US dollars.', this.#costs),
      ...lines('nearfar_revision_requests_total', 'counter', 'Requests by revision.', this.#revisions),
      ...lines(
        'nearfar_shadow_requests_total',
        'counter',
        'Requests that the next revision ran as well, by what came of it.',
        this.#shadows,
      ),
      ...lines(
        'nearfar_hedges_total',
        'counter',
        'Second executions of requests that took longer than predicted, by what came of them.',
        this.#hedges,
      ),
      '# HELP nearfar_wasted_busy_seconds_total Busy time of executions whose answer was not needed.',
      '# TYPE nearfar_wasted_busy_seconds_total counter',
      `nearfar_wasted_busy_seconds_total ${this.#wastedMs / 1_000}`,
      ...lines('nearfar_errors_total', 'counter', 'Errors that callers got, by code.', this.#errors),
      ...lines('nearfar_workers', 'gauge', 'Connected workers by tier and state.', byPlace),
      ...lines('nearfar_waiting_requests', 'gauge', 'Requests that wait in workers.', waiting),
      ...lines(
        'nearfar_lease_requests_total',
        'counter',
        'Remote requests that leases allowed, and what is known of them; local: what pages say that they ran themselves.',
        leased,
      ),
      '# HELP nearfar_open_lease_requests Remote requests that the leases of now allow.',
      '# TYPE nearfar_open_lease_requests gauge',
      `nearfar_open_lease_requests ${open}`,
      ...lines(
        'nearfar_promised_latencies_total',
        'counter',
        'Predicted latencies by the share of requests that were to stay below them, and whether they did.',
        promised,
      ),
      ...this.#histogramLines(),
      '',
    ].join('\n');
  }

  #histogramLines(): string[] {
    const name = 'nearfar_request_duration_seconds';
    const text = [`# HELP ${name} From request head to answer.`, `# TYPE ${name} histogram`];
    for (const [labels, { counts, sum, count }] of this.#latencies) {
      for (const [index, bound] of BOUNDS_SECONDS.entries()) {
        text.push(`${name}_bucket{${labels},le="${bound}"} ${counts[index] ?? 0}`);
      }
      text.push(`${name}_bucket{${labels},le="+Inf"} ${count}`);
      text.push(`${name}_sum{${labels}} ${sum}`, `${name}_count{${labels}} ${count}`);
    }
    return text;
  }
}

function increment(series: Map<string, number>, labels: string, by: number): void {
  const value = series.get(labels);
  if (value === undefined && series.size >= MAX_SERIES) return;
  series.set(labels, (value ?? 0) + by);
}

function lines(name: string, type: 'counter' | 'gauge', help: string, series: Map<string, number>): string[] {
  return [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...[...series].map(([labels, value]) => `${name}{${labels}} ${value}`),
  ];
}

function labelText(labels: Labels): string {
  return Object.entries(labels)
    .map(
      ([name, value]) =>
        `${name}="${value.replace(/["\\\n]/g, (found) => (found === '\n' ? '\\n' : `\\${found}`))}"`,
    )
    .join(',');
}
