import type { Api, DecisionInfo } from '../api.ts';
import { element, fill } from '../dom.ts';
import { decisionExplanation } from '../explanation.ts';
import { formatCost, formatMs, formatShare, formatTime } from '../format.ts';
import { showNotice } from '../notice.ts';

/** Opens the explanation of one decision over the page; Escape, the button or a click beside it closes it. */
export async function openDecision(dialog: HTMLDialogElement, api: Api, id: string): Promise<void> {
  const body = element(
    'div',
    { class: 'sheet-body', tabindex: 0 },
    element('p', { class: 'empty' }, 'Loading…'),
  );
  const close = element('button', { class: 'quiet', 'aria-label': 'Close' }, '✕');
  close.addEventListener('click', () => dialog.close());
  const title = element('h2', { id: 'explanation-title' }, 'Decision');
  fill(dialog, element('div', { class: 'sheet-head' }, title, close), body);
  dialog.onclick = (event) => {
    if (event.target === dialog) dialog.close();
  };
  if (!dialog.open) dialog.showModal();
  try {
    const decision = await api.decision(id);
    title.textContent = `${decision.task}, ${formatTime(decision.at)}`;
    fill(body, facts(decision), decisionExplanation(decision));
  } catch (error) {
    showNotice(body, error);
  }
}

const SOURCES = {
  request: 'by the mesh, for a request',
  placement: 'by the mesh, for a page that asked where to run',
  page: 'by a page itself, under its lease',
} as const;

function facts({ id, source, spec, choice, attempts, outcome }: DecisionInfo): HTMLElement {
  const { sloMs, sloTarget, minAccuracy, privacy, prefer } = spec;
  const lines: [string, string][] = [
    [
      'Asked',
      phrases(
        sloMs !== undefined && `within ${formatMs(sloMs)}`,
        sloTarget !== undefined && `${formatShare(sloTarget, 2)} of the time`,
        minAccuracy !== undefined && minAccuracy > 0 && `accuracy at least ${formatShare(minAccuracy, 2)}`,
        privacy !== undefined && privacy !== 'any' && `privacy ${privacy.replaceAll('_', ' ')}`,
        prefer !== undefined && `prefer ${prefer}`,
      ),
    ],
    ['Choice', choice.message ?? CHOICES[choice.kind]],
    ['Decided', SOURCES[source]],
  ];
  if (attempts.length > 1) {
    const tries = attempts.map(({ variant, worker, code }) => `${variant} on ${worker}: ${code ?? 'ok'}`);
    lines.push(['Attempts', tries.join(' → ')]);
  }
  lines.push(['Happened', outcome === undefined ? 'No outcome yet' : happened(outcome)], ['Decision', id]);
  return element(
    'dl',
    { class: 'lines' },
    ...lines.map(([name, text]) => element('div', {}, element('dt', {}, name), element('dd', {}, text))),
  );
}

const CHOICES = {
  'meets-slo': 'to meet the deadline and every other demand',
  'best-effort': 'for the likeliest to be on time, since none reaches the target',
  refused: 'to refuse',
} as const;

function happened(outcome: NonNullable<DecisionInfo['outcome']>): string {
  const { status, totalMs, queueMs, computeMs, batchSize, costUsd, sloMet } = outcome;
  return phrases(
    status === 'ok' ? formatMs(totalMs) : `${status} after ${formatMs(totalMs)}`,
    status === 'ok' && queueMs !== undefined && `${formatMs(queueMs)} in the queue`,
    status === 'ok' && computeMs !== undefined && `${formatMs(computeMs)} computing`,
    batchSize !== undefined && batchSize > 1 && `in a batch of ${batchSize}`,
    costUsd !== undefined && formatCost(costUsd),
    status === 'ok' && sloMet !== undefined && (sloMet ? 'on time' : 'late'),
  );
}

function phrases(...parts: readonly (string | false)[]): string {
  return parts.filter((part) => part !== false).join(' · ');
}
