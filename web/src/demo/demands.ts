import type { TaskInfo } from '@nearfar/protocol';
import { byId, element } from '../dom.ts';
import { formatShare } from '../format.ts';

/** What the visitor asks of one answer. */
export interface Demands {
  readonly sloMs: number;
  /** 0 = any. */
  readonly minAccuracy: number;
  readonly privacy: 'any' | 'no_pool' | 'local_only';
  readonly prefer: 'cost' | 'accuracy';
}

/** The controls of the form. */
export interface DemandControls {
  read(): Demands;
  /** Takes over a task's default deadline. */
  reset(task: TaskInfo): void;
}

/** Ends of the deadline's slider, which is logarithmic: 10 to 20 ms matters as much as 1 to 2 s. */
const SLO_MS = { least: 5, most: 5_000 } as const;
const ANY_ACCURACY_PERCENT = 80;
const DEFAULT_SLO_MS = 250;

/** Connects the form's controls with each other; `onChange` is called when a demand was changed. */
export function createDemandControls(form: HTMLFormElement, onChange: () => void): DemandControls {
  const slider = byId('slo', HTMLInputElement);
  const number = byId('slo-ms', HTMLInputElement);
  const accuracy = byId('accuracy', HTMLInputElement);
  const accuracyValue = byId('accuracy-value', HTMLOutputElement);

  const showSlo = (sloMs: number) => {
    const { least, most } = SLO_MS;
    const share = Math.log(sloMs / least) / Math.log(most / least);
    slider.value = String(Math.round(share * 100));
    slider.setAttribute('aria-valuetext', `${sloMs} milliseconds`);
  };
  const showAccuracy = () => {
    const text = minAccuracy() === 0 ? 'any' : formatShare(minAccuracy());
    accuracyValue.value = text;
    accuracy.setAttribute('aria-valuetext', text);
  };
  const minAccuracy = () => {
    const percent = Number(accuracy.value);
    return percent <= ANY_ACCURACY_PERCENT ? 0 : Number((percent / 100).toFixed(4));
  };
  const choice = (name: string) => String(new FormData(form).get(name) ?? '');

  slider.addEventListener('input', () => {
    const { least, most } = SLO_MS;
    const sloMs = least * (most / least) ** (Number(slider.value) / 100);
    number.value = String(Number(sloMs.toPrecision(2)));
    slider.setAttribute('aria-valuetext', `${number.value} milliseconds`);
  });
  number.addEventListener('input', () => {
    if (number.validity.valid) showSlo(number.valueAsNumber);
  });
  accuracy.addEventListener('input', showAccuracy);
  form.addEventListener('change', (event) => {
    const { target } = event;
    if (target instanceof HTMLInputElement && DEMANDS.has(target.name || target.id)) onChange();
  });

  number.value = String(DEFAULT_SLO_MS);
  showSlo(DEFAULT_SLO_MS);
  showAccuracy();
  return {
    read: () => ({
      sloMs: number.valueAsNumber,
      minAccuracy: minAccuracy(),
      privacy: oneOf(choice('privacy'), ['any', 'no_pool', 'local_only']),
      prefer: oneOf(choice('prefer'), ['cost', 'accuracy']),
    }),
    reset(task) {
      const sloMs = task.defaults.slo_ms ?? DEFAULT_SLO_MS;
      number.value = String(sloMs);
      showSlo(sloMs);
    },
  };
}

const DEMANDS = new Set(['slo', 'slo-ms', 'accuracy', 'privacy', 'prefer']);

function oneOf<const Value extends string>(value: string, values: readonly [Value, ...Value[]]): Value {
  return values.find((candidate) => candidate === value) ?? values[0];
}

/** Fills the choice of tasks; the first is chosen. */
export function showTaskChoice(
  parent: Element,
  tasks: readonly TaskInfo[],
  onChoose: (task: TaskInfo) => void,
): void {
  for (const [index, task] of tasks.entries()) {
    const input = element('input', { type: 'radio', name: 'task', value: task.task, checked: index === 0 });
    input.addEventListener('change', () => onChoose(task));
    parent.append(element('label', {}, input, element('span', {}, task.task)));
  }
}
