import type { Candidate } from '@nearfar/protocol';
import type { DecisionInfo } from './api.ts';
import { element } from './dom.ts';
import { formatCost, formatMs, formatShare } from './format.ts';
import { tierBadge } from './tier-badge.ts';

const PARTS = ['network', 'queue', 'compute', 'load'] as const;

/** What a decision was about, for its explanation. */
export interface ExplainedRequest {
  readonly sloMs: number;
  /** Share of requests that must be on time, 0 to 1; names the tail column. */
  readonly sloTarget: number | undefined;
  readonly prefer: string | undefined;
}

/** Every candidate with its numbers and the reason for its verdict: chosen first, then feasible, then the rest. */
export function explanation(request: ExplainedRequest, candidates: readonly Candidate[]): HTMLElement {
  if (candidates.length === 0) {
    return element('p', { class: 'empty' }, 'There was no candidate: no worker or device offers this task.');
  }
  const ordered = [...candidates].sort(
    (a, b) => RANK[a.verdict] - RANK[b.verdict] || a.costUsd - b.costUsd || a.predictedMs - b.predictedMs,
  );
  const scaleMs = scaleOf(request.sloMs, ordered);
  const heads = [
    'Candidate',
    'Predicted latency',
    request.sloTarget === undefined ? 'Tail' : `p${Number((request.sloTarget * 100).toFixed(2))}`,
    'P(on time)',
    'Accuracy',
    'Cost',
    'Verdict',
  ];
  const table = element(
    'table',
    { class: 'candidates' },
    element('caption', { class: 'visually-hidden' }, 'Candidates of the decision'),
    element('thead', {}, element('tr', {}, ...heads.map((head) => element('th', { scope: 'col' }, head)))),
    element('tbody', {}, ...ordered.map((candidate) => row(candidate, request.sloMs, scaleMs, heads))),
  );
  return element(
    'div',
    { class: 'explanation' },
    element('p', {}, summary(request, ordered)),
    legend(request.sloMs),
    table,
  );
}

/** The explanation of a decision that the mesh keeps. */
export function decisionExplanation({ source, spec, candidates }: DecisionInfo): HTMLElement {
  const { sloMs, sloTarget, prefer } = spec;
  if (sloMs !== undefined && (candidates.length > 0 || source !== 'page')) {
    return explanation({ sloMs, sloTarget, prefer }, candidates);
  }
  return element(
    'p',
    { class: 'empty' },
    'A page decided this by itself and told the mesh only the outcome: its caller did not ask to explain.',
  );
}

const RANK = { chosen: 0, feasible: 1, infeasible: 2 } as const;

function summary(request: ExplainedRequest, candidates: readonly Candidate[]): string {
  const chosen = candidates.find((candidate) => candidate.verdict === 'chosen');
  const feasible = candidates.filter(({ reasons }) => reasons.length === 0).length;
  const counted = `${feasible} of ${candidates.length} candidates ${feasible === 1 ? 'meets' : 'meet'} every demand.`;
  if (chosen === undefined) return `${counted} None was taken.`;
  const name = `${chosen.variant} on ${chosen.worker} (${chosen.tier})`;
  if (chosen.reasons.length > 0)
    return `${counted} ${name} is the likeliest to be on time, as a best effort.`;
  if (feasible === 1) return `${counted} ${name} was the only one.`;
  return `${counted} ${name} is the ${request.prefer === 'accuracy' ? 'most accurate' : 'cheapest'} of them.`;
}

function legend(sloMs: number): HTMLElement {
  return element(
    'ul',
    { class: 'legend', 'aria-label': 'Parts of the latency' },
    ...['spent', ...PARTS].map((part) =>
      element('li', {}, element('span', { class: `swatch part-${part}` }), part),
    ),
    element('li', {}, element('span', { class: 'swatch tail' }), 'tail'),
    element('li', {}, element('span', { class: 'swatch deadline' }), `deadline ${formatMs(sloMs)}`),
  );
}

/** Bars reach from 0 to here; one hopeless candidate must not press all others flat. */
function scaleOf(sloMs: number, candidates: readonly Candidate[]): number {
  const longest = Math.max(
    ...candidates.map(({ predictedMs, tailMs }) => Math.max(predictedMs, tailMs ?? 0)),
  );
  return Math.max(sloMs * 1.1, Math.min(longest, sloMs * 2));
}

function row(
  candidate: Candidate,
  sloMs: number,
  scaleMs: number,
  heads: readonly string[],
): HTMLTableRowElement {
  const { variant, tier, worker, deviceClass, predictedMs, tailMs, onTimeProbability, costUsd } = candidate;
  const cells = [
    element('span', {}, formatMs(predictedMs), bar(candidate, sloMs, scaleMs), partsText(candidate)),
    tailMs === null ? '—' : formatMs(tailMs),
    formatShare(onTimeProbability, 2),
    formatShare(candidate.accuracy, 2),
    element('span', { title: `At worst ${formatCost(candidate.worstCostUsd)}` }, formatCost(costUsd)),
    verdict(candidate),
  ];
  return element(
    'tr',
    { class: `is-${candidate.verdict}` },
    element(
      'th',
      { scope: 'row' },
      tierBadge(tier),
      element('span', { class: 'candidate-name' }, variant),
      element('span', { class: 'faint' }, `${worker} · ${deviceClass}`),
    ),
    ...cells.map((cell, index) => element('td', { 'data-head': heads[index + 1] }, cell)),
  );
}

function bar({ spentMs, parts, tailMs }: Candidate, sloMs: number, scaleMs: number): HTMLElement {
  const percent = (ms: number) => `${Math.min(100, (ms / scaleMs) * 100)}%`;
  const node = element('span', { class: 'latency-bar', 'aria-hidden': true });
  const pieces: [string, number][] = [
    ['spent', spentMs],
    ...PARTS.map((part): [string, number] => [part, parts[part].meanMs]),
  ];
  for (const [name, ms] of pieces) {
    const piece = element('span', { class: `part-${name}` });
    piece.style.width = percent(ms);
    node.append(piece);
  }
  const tail = element('span', { class: 'tail' });
  tail.style.width = percent(tailMs ?? 0);
  const deadline = element('span', { class: 'deadline' });
  deadline.style.left = percent(sloMs);
  node.append(tail, deadline);
  return node;
}

function partsText({ spentMs, parts }: Candidate): HTMLElement {
  const shown = PARTS.filter((part) => parts[part].meanMs > 0);
  const named: [string, number][] = shown.map((part) => [part, parts[part].meanMs]);
  if (spentMs > 0) named.unshift(['spent', spentMs]);
  const text = named.map(([name, ms]) => `${name} ${formatMs(ms)}`).join(' · ');
  return element('span', { class: 'faint' }, text);
}

function verdict({ verdict: word, reasons }: Candidate): HTMLElement {
  return element(
    'span',
    { class: 'verdict' },
    element('strong', { class: `verdict-${word}` }, VERDICTS[word]),
    ...reasons.map(({ message }) => element('span', { class: 'reason' }, message)),
  );
}

const VERDICTS = { chosen: '✓ chosen', feasible: 'would do', infeasible: '✕ no' } as const;
