import type { ParetoLineBody, TaskInfo } from '@nearfar/protocol';
import type { ProfileInfo } from '../api.ts';
import { element, fill, renderList } from '../dom.ts';
import { formatDate, formatShare } from '../format.ts';
import { type Axis, chartPoints } from './chart-points.ts';
import { ParetoChart } from './pareto-chart.ts';
import { PROFILE_HEADS, profileItems, profileKey, profileRow } from './profile-rows.ts';
import { VARIANT_HEADS, variantItems, variantRow } from './variant-rows.ts';

/** What variants are compared by in the charts. */
export interface Comparison {
  /** Undefined = nothing was measured anywhere yet. */
  readonly deviceClass: string | undefined;
  readonly axis: Axis;
}

/** All that a card shows of its task. */
export interface TaskView {
  readonly task: TaskInfo;
  readonly lines: readonly ParetoLineBody[];
  readonly profiles: readonly ProfileInfo[];
}

/**
 * A task with its variants: what each is worth, where, and what came of the others. The card stays in place while its
 * parts are refreshed, so that what was opened stays open.
 */
export class TaskCard {
  readonly element: HTMLElement;
  readonly #head = element('div', { class: 'card-head' });
  readonly #chart = new ParetoChart();
  readonly #variants = element('tbody');
  readonly #rejected = new Disclosure('rejected');
  readonly #rejectedList = element('dl', { class: 'reasons' });
  readonly #profiles = new Disclosure('measured-profiles');
  readonly #profileRows = element('tbody');
  #view: TaskView | undefined;

  constructor(task: string) {
    this.#rejected.body.append(this.#rejectedList);
    this.#profiles.body.append(
      table(`Profiles of ${task}`, PROFILE_HEADS, this.#profileRows, 'profile-table'),
    );
    // As many as variants × device classes × batch sizes: drawn only for those who look.
    this.#profiles.element.addEventListener('toggle', () => this.#showProfiles());
    this.element = element(
      'article',
      { class: 'card task' },
      this.#head,
      this.#chart.element,
      table(`Variants of ${task}`, VARIANT_HEADS, this.#variants, 'variant-table'),
      this.#rejected.element,
      this.#profiles.element,
    );
  }

  show(view: TaskView, { deviceClass, axis }: Comparison): void {
    this.#view = view;
    const { task, lines, profiles } = view;
    const items = variantItems(task, lines);
    fill(this.#head, ...headOf(task));
    const isMeasured = deviceClass !== undefined && lines.some(({ cells }) => cells.length > 0);
    this.#chart.element.hidden = !isMeasured;
    if (isMeasured) {
      const points = chartPoints(items, deviceClass, axis);
      this.#chart.show({ task: task.task, deviceClass, axis, points });
    }
    renderList(this.#variants, items, ({ variant }) => variant.variant, variantRow);
    this.#showRejected(task);
    const classes = new Set(profiles.map((profile) => profile.deviceClass)).size;
    this.#profiles.show(
      profiles.length > 0,
      `${count(profiles.length, 'profile')} on ${count(classes, 'device class', 'es')}: load time, memory, age`,
    );
    this.#showProfiles();
  }

  #showRejected({ rejected }: TaskInfo): void {
    this.#rejected.show(rejected.length > 0, `${count(rejected.length, 'variant')} not served, and why`);
    renderList(
      this.#rejectedList,
      rejected,
      ({ variant }) => variant,
      ({ variant, reason }) =>
        element('div', {}, element('dt', {}, variant), element('dd', { class: 'faint' }, reason)),
    );
  }

  #showProfiles(): void {
    if (this.#view === undefined || !this.#profiles.element.open) return;
    renderList(this.#profileRows, profileItems(this.#view.profiles), profileKey, profileRow);
  }
}

/** A part that is folded until somebody opens it, and not there when it has nothing to show. */
class Disclosure {
  readonly body = element('div', { class: 'disclosed' });
  readonly element: HTMLDetailsElement;
  readonly #summary = element('summary');

  constructor(name: string) {
    this.element = element('details', { class: name }, this.#summary, this.body);
  }

  show(hasContent: boolean, summary: string): void {
    this.element.hidden = !hasContent;
    if (this.#summary.textContent !== summary) this.#summary.textContent = summary;
  }
}

function headOf(task: TaskInfo): HTMLElement[] {
  const { kind, labels, revision, registeredAt, rollout, previousRevision } = task;
  const facts = [
    kind,
    labels.length > 0 && count(labels.length, 'label'),
    `revision ${revision}`,
    registeredAt !== undefined && `registered ${formatDate(registeredAt)}`,
    previousRevision !== undefined && `a rollback brings back revision ${previousRevision}`,
  ].filter((fact) => fact !== false);
  const head = [element('h3', {}, task.task), element('span', { class: 'faint' }, facts.join(' · '))];
  if (rollout !== undefined) {
    head.push(element('span', { class: `state state-${rollout.state}` }, rolloutText(rollout)));
  }
  return head;
}

/** What becomes of the next revision, and of the requests meanwhile. */
function rolloutText({ revision, state, mode, share }: NonNullable<TaskInfo['rollout']>): string {
  const part = formatShare(share);
  if (state === 'warming') {
    const then = {
      now: 'then takes all requests',
      canary: `then takes ${part} of requests`,
      shadow: `then is compared on ${part} of requests`,
    };
    return `revision ${revision} is warming, ${then[mode]}`;
  }
  const doing = {
    now: 'takes all requests',
    canary: `takes ${part} of requests (canary)`,
    shadow: `is compared on ${part} of requests (shadow)`,
  };
  return `revision ${revision} ${doing[mode]}`;
}

function table(caption: string, heads: readonly string[], body: HTMLElement, name: string): HTMLTableElement {
  return element(
    'table',
    { class: `stacking ${name}` },
    element('caption', { class: 'visually-hidden' }, caption),
    element('thead', {}, element('tr', {}, ...heads.map((head) => element('th', { scope: 'col' }, head)))),
    body,
  );
}

function count(number: number, name: string, plural = 's'): string {
  return `${number} ${name}${number === 1 ? '' : plural}`;
}
