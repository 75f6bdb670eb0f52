import { TIERS, type Tier } from '@nearfar/protocol';
import { formatTable } from '../table.ts';
import type { AnsweredCall, CallResult } from './calls.ts';

/** The demo's findings; the first fields are those of DESIGN 4.4. */
export interface DemoReport {
  readonly tiers: Readonly<Partial<Record<Tier, TierSummary>>>;
  readonly errors: number;
  readonly wrong_answers: number;
  readonly local_only_payloads_sent: number;
  readonly cost_usd: number;
  readonly cost_all_pool_usd: number;
  readonly requests: number;
  readonly callers: readonly CallerSummary[];
  readonly inputs: string;
  readonly device: string;
}

interface TierSummary {
  readonly requests: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly attainment: number;
  readonly predicted_mean_ms: number;
  readonly actual_mean_ms: number;
  /** Mean accuracy of the variants that answered, and the lowest and highest among them. */
  readonly accuracy: { readonly mean: number; readonly least: number; readonly most: number };
  readonly cost_usd: number;
  /** What the same answers would have cost in the pool. */
  readonly cost_all_pool_usd: number;
  readonly variants: Readonly<Record<string, number>>;
}

interface CallerSummary {
  readonly name: string;
  readonly network: string;
  readonly slo_ms: number;
  readonly privacy: string;
  readonly requests: number;
  readonly on_time: number;
  readonly tiers: Readonly<Record<string, number>>;
}

/** What the report is made from, besides the answers. */
export interface ReportFacts {
  readonly wrongAnswers: number;
  readonly localOnlyPayloadsSent: number;
  readonly poolCostUsd: (answer: AnsweredCall) => number;
  readonly inputs: string;
  readonly device: string;
}

/** Sums up all calls. */
export function createReport(results: readonly CallResult[], facts: ReportFacts): DemoReport {
  const answers = results.filter((result) => result.status === 'answered');
  const tiers = TIERS.flatMap((tier) => {
    const own = answers.filter((answer) => answer.tier === tier);
    return own.length === 0 ? [] : [[tier, summariseTier(own, facts.poolCostUsd)] as const];
  });
  return {
    tiers: Object.fromEntries(tiers),
    errors: results.length - answers.length,
    wrong_answers: facts.wrongAnswers,
    local_only_payloads_sent: facts.localOnlyPayloadsSent,
    cost_usd: answers.reduce((sum, answer) => sum + answer.costUsd, 0),
    cost_all_pool_usd: answers.reduce((sum, answer) => sum + facts.poolCostUsd(answer), 0),
    requests: results.length,
    callers: summariseCallers(results),
    inputs: facts.inputs,
    device: facts.device,
  };
}

/** Sums up one tier's answers, of which there is at least one; `poolCostUsd` is what each would have cost there. */
function summariseTier(
  answers: readonly AnsweredCall[],
  poolCostUsd: (answer: AnsweredCall) => number,
): TierSummary {
  const accuracies = answers.map((answer) => answer.accuracy);
  const totals = answers.map((answer) => answer.totalMs).sort((a, b) => a - b);
  return {
    requests: answers.length,
    p50_ms: nearestRank(totals, 0.5),
    p99_ms: nearestRank(totals, 0.99),
    attainment: mean(answers.map((answer) => (isOnTime(answer) ? 1 : 0))),
    predicted_mean_ms: mean(answers.map((answer) => answer.predictedMs)),
    actual_mean_ms: mean(totals),
    accuracy: { mean: mean(accuracies), least: Math.min(...accuracies), most: Math.max(...accuracies) },
    cost_usd: answers.reduce((sum, answer) => sum + answer.costUsd, 0),
    cost_all_pool_usd: answers.reduce((sum, answer) => sum + poolCostUsd(answer), 0),
    variants: countBy(answers, (answer) => `${answer.call.task}/${answer.variant}`),
  };
}

/** Sums up each kind of caller, in the order in which they first called. */
function summariseCallers(results: readonly CallResult[]): CallerSummary[] {
  const kinds = [...new Set(results.map((result) => result.call.kind))];
  return kinds.map((kind) => {
    const own = results.filter((result) => result.call.kind === kind);
    const answers = own.filter((result) => result.status === 'answered');
    return {
      name: kind.name,
      network: kind.network,
      slo_ms: kind.sloMs,
      privacy: kind.privacy,
      requests: own.length,
      on_time: answers.filter(isOnTime).length,
      tiers: countBy(answers, (answer) => answer.tier),
    };
  });
}

/** The report as people read it. */
export function formatReport(report: DemoReport): string {
  const tiers = TIERS.flatMap((tier) => {
    const summary = report.tiers[tier];
    if (summary === undefined) return [];
    return [
      [
        tier,
        summary.requests,
        round(summary.p50_ms),
        round(summary.p99_ms),
        `${(summary.attainment * 100).toFixed(1)} %`,
        round(summary.predicted_mean_ms),
        round(summary.actual_mean_ms),
        accuracyClass(summary.accuracy),
        `$${summary.cost_usd.toExponential(2)}`,
        `$${summary.cost_all_pool_usd.toExponential(2)}`,
        Object.entries(summary.variants)
          .map(([variant, count]) => `${variant} × ${count}`)
          .join(', '),
      ],
    ];
  });
  const callers = report.callers.map((caller) => [
    caller.name,
    caller.network,
    caller.slo_ms,
    caller.privacy,
    caller.requests,
    caller.on_time,
    Object.entries(caller.tiers)
      .map(([tier, count]) => `${tier} × ${count}`)
      .join(', '),
  ]);
  return [
    formatTable(
      [
        'tier',
        'requests',
        'p50 ms',
        'p99 ms',
        'on time',
        'predicted ms',
        'actual ms',
        'accuracy',
        'cost',
        'in the pool',
        'variants',
      ],
      tiers,
    ),
    formatTable(['caller', 'network', 'SLO ms', 'privacy', 'requests', 'on time', 'ran'], callers),
    `${report.requests} requests on ${report.inputs}; browser: ${report.device}`,
    `errors ${report.errors} · wrong answers ${report.wrong_answers} · local_only payloads sent ${report.local_only_payloads_sent}`,
    `cost $${report.cost_usd.toExponential(3)} · everything in the pool $${report.cost_all_pool_usd.toExponential(3)}`,
  ].join('\n\n');
}

/** The range of accuracies, or the one when there is only one. */
function accuracyClass({ least, most }: TierSummary['accuracy']): string {
  const percent = (share: number) => (share * 100).toFixed(1);
  return least === most ? `${percent(least)} %` : `${percent(least)}–${percent(most)} %`;
}

function isOnTime(answer: AnsweredCall): boolean {
  return answer.totalMs <= answer.call.kind.sloMs;
}

function countBy<Item>(items: readonly Item[], key: (item: Item) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const item of items) counts[key(item)] = (counts[key(item)] ?? 0) + 1;
  return counts;
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Nearest-rank percentile of sorted values; 0 when there are none. */
function nearestRank(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
