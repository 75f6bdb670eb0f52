import type { Answer } from '@nearfar/client';
import { MeshError } from '@nearfar/protocol';
import { element, fill } from '../dom.ts';
import { explanation } from '../explanation.ts';
import { formatCost, formatMs, formatShare } from '../format.ts';
import { tierBadge } from '../tier-badge.ts';
import type { Demands } from './demands.ts';

const PREDICTIONS_SHOWN = 5;

/** Shows what the picture is, where that was found out, how long it took and what it cost. */
export function showAnswer(parent: Element, answer: Answer, demands: Demands): void {
  const { predictions, placement } = answer;
  const [best] = predictions;
  fill(
    parent,
    element(
      'p',
      { class: 'verdict-line' },
      element('span', { class: 'best' }, best?.label ?? '?'),
      best !== undefined && element('span', { class: 'faint' }, formatShare(best.score)),
      placement.sloMet
        ? element(
            'span',
            { class: 'good' },
            `✓ on time: ${formatMs(placement.clientMs)} of ${formatMs(demands.sloMs)}`,
          )
        : element(
            'span',
            { class: 'bad' },
            `✕ late: ${formatMs(placement.clientMs)}, asked ${formatMs(demands.sloMs)}`,
          ),
    ),
    element(
      'ul',
      { class: 'scores', 'aria-label': 'Predictions' },
      ...predictions.slice(0, PREDICTIONS_SHOWN).map(({ label, score }) => scoreLine(label, score)),
    ),
    lines([
      ['Ran on', element('span', { class: 'badges' }, tierBadge(placement.tier), placement.worker)],
      ['Variant', `${placement.variant}, right in ${formatShare(placement.accuracy, 2)} of cases`],
      ['Predicted', formatMs(placement.predictedMs)],
      ['Actual', formatMs(placement.clientMs)],
      ['Cost', formatCost(placement.costUsd)],
      ['Decision', element('span', { class: 'mono' }, placement.decisionId)],
    ]),
  );
}

function scoreLine(label: string, score: number): HTMLElement {
  const level = element('span');
  level.style.width = `${score * 100}%`;
  return element(
    'li',
    {},
    element('span', {}, label),
    element('span', { class: 'score', 'aria-hidden': true }, level),
    element('span', { class: 'value' }, formatShare(score)),
  );
}

function lines(entries: readonly (readonly [string, string | Node])[]): HTMLElement {
  return element(
    'dl',
    { class: 'lines' },
    ...entries.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))),
  );
}

/** Says the answer in one line, beside the paper, where the panel is out of sight. */
export function showGlance(parent: Element, { predictions, placement }: Answer): void {
  fill(
    parent,
    element('strong', {}, predictions[0]?.label ?? '?'),
    tierBadge(placement.tier),
    formatMs(placement.clientMs),
    element('span', { class: placement.sloMet ? 'good' : 'bad' }, placement.sloMet ? '✓ on time' : '✕ late'),
  );
}

/** The candidates that this page's own decision weighed, or undefined when it left the decision to the mesh. */
export function localExplanation(answer: Answer, demands: Demands): HTMLElement | undefined {
  if (answer.explanation === undefined) return undefined;
  return explanation({ ...demands, sloTarget: undefined }, answer.explanation);
}

/** Shows why there is no answer, and which demands would have had one. */
export function showRefusal(parent: Element, error: unknown): void {
  const isRefusal = error instanceof MeshError && error.code === 'MESH_NO_FEASIBLE_PLACEMENT';
  const nearest = isRefusal ? nearestOf(error.details) : [];
  fill(
    parent,
    element('p', { class: 'bad' }, isRefusal ? 'Nowhere can this be answered as asked' : 'No answer'),
    element('p', { class: 'faint' }, error instanceof Error ? error.message : String(error)),
    nearest.length > 0 && element('p', {}, 'It could be with one of these:'),
    nearest.length > 0 &&
      element('ul', { class: 'nearest' }, ...nearest.map((text) => element('li', {}, text))),
  );
}

/** The id under which the mesh keeps a refused decision, if it was the mesh that refused. */
export function refusedDecisionId(error: unknown): string | undefined {
  const id = error instanceof MeshError ? error.details?.decision_id : undefined;
  return typeof id === 'string' ? id : undefined;
}

/** `details.nearest` of a refusal in words; each entry would have been enough by itself. */
function nearestOf(details: MeshError['details']): string[] {
  const nearest = details?.nearest;
  if (typeof nearest !== 'object' || nearest === null) return [];
  return Object.entries(nearest).map(([name, value]) => {
    if (name === 'slo_ms' && typeof value === 'number') return `a deadline of ${formatMs(value)}`;
    if (name === 'min_accuracy' && typeof value === 'number')
      return `an accuracy of ${formatShare(value, 2)}`;
    if (name === 'max_cost_usd' && typeof value === 'number') return `a cost of up to ${formatCost(value)}`;
    if (name === 'privacy') return value === 'any' ? 'the pool allowed' : 'the edge allowed';
    return `${name} = ${String(value)}`;
  });
}
