import type { WorkerInfo } from '../api.ts';
import { element, fill, renderList } from '../dom.ts';
import { formatBytes, formatMs } from '../format.ts';
import { tierBadge } from '../tier-badge.ts';

/** Shows each worker: its device, how busy it is, and which variants it holds. */
export function showWorkers(parent: Element, workers: readonly WorkerInfo[]): void {
  if (workers.length === 0) {
    fill(
      parent,
      element(
        'li',
        { class: 'empty' },
        'No worker is connected. Add one from any network: ',
        element('code', {}, 'nearfar worker --join <url> --token <token>'),
      ),
    );
    return;
  }
  renderList(parent, workers, ({ workerId }) => workerId, card);
}

function card({ workerId, tier, device, slots, load, replicas, state }: WorkerInfo): HTMLElement {
  const running = load?.running ?? 0;
  const meter = element('span', { class: 'meter', 'aria-hidden': true }, element('span'));
  const level = meter.firstElementChild;
  if (level instanceof HTMLElement) level.style.width = `${Math.min(100, (running / slots) * 100)}%`;
  return element(
    'li',
    { class: 'card' },
    element(
      'div',
      { class: 'card-head' },
      tierBadge(tier),
      element('h3', {}, workerId),
      element('span', { class: `state state-${state}` }, state),
    ),
    element('p', { class: 'faint' }, device.description),
    element('p', { class: 'faint mono' }, device.deviceClass),
    meter,
    element(
      'dl',
      { class: 'facts' },
      ...fact('Running', `${running} of ${slots}`),
      ...fact('Waiting', String(load?.waiting ?? 0)),
      ...fact('Backlog', formatMs(load?.backlogMs ?? 0)),
    ),
    replicas.length === 0
      ? element('p', { class: 'faint' }, 'No replica yet')
      : element('ul', { class: 'replicas', 'aria-label': 'Replicas' }, ...replicas.map(replica)),
  );
}

function fact(name: string, value: string): HTMLElement[] {
  return [element('div', {}, element('dt', {}, name), element('dd', {}, value))];
}

function replica({
  task,
  variant,
  state,
  reason,
  loadMs,
  memoryBytes,
}: WorkerInfo['replicas'][number]): HTMLElement {
  const details = [
    state,
    reason,
    loadMs !== undefined && `loaded in ${formatMs(loadMs)}`,
    memoryBytes !== undefined && formatBytes(memoryBytes),
  ].filter((detail) => typeof detail === 'string');
  return element(
    'li',
    { class: `replica replica-${state}`, title: details.join(' · ') },
    element('span', { class: 'dot', 'aria-hidden': true }),
    `${task}/${variant}`,
    state !== 'ready' && ` (${state})`,
  );
}
