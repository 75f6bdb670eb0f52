import type { TaskInfo } from '@nearfar/protocol';
import type { ProfileInfo, TaskPareto } from '../api.ts';
import { element, fill } from '../dom.ts';
import type { Axis } from './chart-points.ts';
import { TaskCard, type TaskView } from './task-card.ts';

/** The elements of the section. */
export interface TaskSection {
  readonly list: HTMLElement;
  /** Choice of what the charts compare by: a `select` of device classes and radio buttons named `axis`. */
  readonly controls: HTMLFormElement;
}

/** Every task with its variants, and the choice by which the charts compare them. */
export class Tasks {
  readonly #section: TaskSection;
  readonly #classes: HTMLSelectElement;
  readonly #cards = new Map<string, TaskCard>();
  #views: readonly TaskView[] = [];

  constructor(section: TaskSection) {
    this.#section = section;
    const select = section.controls.querySelector('select');
    if (select === null) throw new Error('Expected the controls to have a select');
    this.#classes = select;
    section.controls.addEventListener('change', () => this.#draw());
  }

  show(tasks: readonly TaskInfo[], pareto: readonly TaskPareto[], profiles: readonly ProfileInfo[]): void {
    this.#views = tasks.map((task) => ({
      task,
      lines: pareto.find((entry) => entry.task === task.task)?.lines ?? [],
      profiles: profiles.filter((profile) => profile.task === task.task && isServed(profile, task)),
    }));
    this.#offer(deviceClasses(this.#views));
    this.#draw();
  }

  /** Offers the classes that something was measured on, the one with the most variants first, and keeps what was chosen. */
  #offer(classes: readonly string[]): void {
    this.#section.controls.hidden = classes.length === 0;
    const offered = [...this.#classes.options].map(({ value }) => value);
    if (offered.join() === classes.join()) return;
    const chosen = this.#classes.value;
    fill(this.#classes, ...classes.map((name) => element('option', { value: name }, name)));
    if (classes.includes(chosen)) this.#classes.value = chosen;
  }

  #draw(): void {
    const { list, controls } = this.#section;
    if (this.#views.length === 0) {
      this.#cards.clear();
      fill(list, emptyState());
      return;
    }
    const comparison = {
      deviceClass: this.#classes.value === '' ? undefined : this.#classes.value,
      axis: new FormData(controls).get('axis') as Axis,
    };
    const cards = this.#views.map((view) => {
      const { task } = view.task;
      const card = this.#cards.get(task) ?? new TaskCard(task);
      this.#cards.set(task, card);
      card.show(view, comparison);
      return card.element;
    });
    const names = new Set(this.#views.map(({ task }) => task.task));
    for (const name of this.#cards.keys()) if (!names.has(name)) this.#cards.delete(name);
    const isInPlace =
      cards.length === list.children.length && cards.every((card, index) => card === list.children[index]);
    if (!isInPlace) fill(list, ...cards);
  }
}

function isServed({ variant, revision }: ProfileInfo, { variants }: TaskInfo): boolean {
  return variants.some((entry) => entry.variant === variant && entry.revision === revision);
}

/** Every class that a variant was measured on; those that tell most first, then by name. */
function deviceClasses(views: readonly TaskView[]): string[] {
  const counts = new Map<string, number>();
  for (const { deviceClass } of views.flatMap(({ lines }) => lines.flatMap(({ cells }) => cells))) {
    counts.set(deviceClass, (counts.get(deviceClass) ?? 0) + 1);
  }
  return [...counts].sort(([a, x], [b, y]) => y - x || a.localeCompare(b)).map(([name]) => name);
}

function emptyState(): HTMLElement {
  return element(
    'p',
    { class: 'empty' },
    'No task is registered. Add one: ',
    element('code', {}, 'nearfar register <manifest.json>'),
  );
}
