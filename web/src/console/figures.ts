import type { DecisionSummary, WorkerInfo } from '../api.ts';
import { element, renderList } from '../dom.ts';
import { formatCost, formatShare } from '../format.ts';

/** Shows the state of the mesh in five numbers. */
export function showFigures(
  parent: Element,
  workers: readonly WorkerInfo[],
  decisions: readonly DecisionSummary[],
): void {
  const finished = decisions.flatMap(({ outcome }) => outcome ?? []);
  const onTime = finished.filter(({ sloMet }) => sloMet).length;
  const costUsd = finished.reduce((sum, outcome) => sum + (outcome.costUsd ?? 0), 0);
  const active = workers.filter(({ state }) => state === 'active').length;
  const ready = workers.flatMap(({ replicas }) => replicas).filter(({ state }) => state === 'ready').length;
  const underWay = workers.reduce((sum, { load }) => sum + (load?.running ?? 0) + (load?.waiting ?? 0), 0);
  const figures = [
    { name: 'Active workers', value: `${active} of ${workers.length}` },
    { name: 'Ready replicas', value: String(ready) },
    { name: 'Under way now', value: String(underWay) },
    {
      name: `On time, last ${finished.length}`,
      value: finished.length === 0 ? '—' : formatShare(onTime / finished.length),
    },
    { name: `Cost, last ${finished.length}`, value: formatCost(costUsd) },
  ];
  renderList(
    parent,
    figures.map((figure, position) => ({ ...figure, position })),
    ({ position }) => String(position),
    ({ name, value }) =>
      element('div', { class: 'figure' }, element('dt', {}, name), element('dd', {}, value)),
  );
}
