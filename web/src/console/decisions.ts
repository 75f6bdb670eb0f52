import type { DecisionSummary } from '../api.ts';
import { element, fill, renderList } from '../dom.ts';
import { formatCost, formatMs, formatTime } from '../format.ts';
import { tierBadge } from '../tier-badge.ts';

const HEADS = ['Time', 'Task', 'Ran on', 'Deadline', 'Predicted', 'Actual', 'Cost', 'On time'] as const;

/** Shows the newest decisions; `open` is called with the id of the one that is clicked or entered. */
export function showDecisions(
  parent: Element,
  decisions: readonly DecisionSummary[],
  open: (id: string) => void,
): void {
  if (decisions.length === 0) {
    fill(
      parent,
      element(
        'p',
        { class: 'empty' },
        'Nothing was asked yet. Try the ',
        element('a', { href: '/demo' }, 'demo'),
        ' or the curl line that "nearfar up" printed.',
      ),
    );
    return;
  }
  const body = parent.querySelector('tbody') ?? createTable(parent);
  renderList(
    body,
    decisions,
    ({ id }) => id,
    (decision) => row(decision, open),
  );
}

function createTable(parent: Element): HTMLTableSectionElement {
  const body = element('tbody');
  fill(
    parent,
    element(
      'div',
      { class: 'card' },
      element(
        'table',
        { class: 'stacking decisions' },
        element('caption', { class: 'visually-hidden' }, 'Last decisions, newest first'),
        element(
          'thead',
          {},
          element('tr', {}, ...HEADS.map((head) => element('th', { scope: 'col' }, head))),
        ),
        body,
      ),
    ),
  );
  return body;
}

function row(decision: DecisionSummary, open: (id: string) => void): HTMLTableRowElement {
  const { id, at, task, spec, choice, outcome } = decision;
  const cells = [
    task,
    place(choice),
    measured(spec.sloMs, formatMs),
    measured(choice.predictedMs, formatMs),
    measured(outcome?.totalMs, formatMs),
    measured(outcome?.costUsd, formatCost),
    met(decision),
  ];
  const button = element('button', { class: 'link', 'aria-haspopup': 'dialog' }, formatTime(at));
  const node = element(
    'tr',
    {},
    element('th', { scope: 'row' }, button),
    ...cells.map((cell, index) => element('td', { 'data-head': HEADS[index + 1] }, cell)),
  );
  // The button is what the keyboard and assistive technology use; a pointer may hit the row anywhere.
  node.addEventListener('click', () => open(id));
  return node;
}

function place({ tier, variant, worker, message }: DecisionSummary['choice']): HTMLElement {
  if (tier === undefined) return element('span', { class: 'faint', title: message }, 'nowhere');
  return element(
    'span',
    { class: 'place' },
    tierBadge(tier),
    element('span', {}, variant, element('span', { class: 'faint' }, worker)),
  );
}

function measured(value: number | undefined, format: (value: number) => string): string {
  return value === undefined ? '—' : format(value);
}

function met({ source, choice, outcome }: DecisionSummary): HTMLElement {
  if (choice.kind === 'refused') return element('span', { class: 'bad' }, '✕ refused');
  // A page that asks where to run reports the outcome under a decision of its own.
  if (outcome === undefined)
    return element('span', { class: 'faint' }, source === 'placement' ? 'advice' : 'pending');
  if (outcome.status !== 'ok') return element('span', { class: 'bad' }, `✕ ${outcome.status}`);
  if (outcome.sloMet === undefined) return element('span', { class: 'faint' }, '—');
  return outcome.sloMet
    ? element('span', { class: 'good' }, '✓ yes')
    : element('span', { class: 'bad' }, '✕ late');
}
