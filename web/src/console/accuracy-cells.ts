import type { Accuracy, TaskInfo } from '@nearfar/protocol';
import { element } from '../dom.ts';
import { formatShare } from '../format.ts';

/** What the inputs of an agreement were, for people. */
const INPUTS = {
  eval: 'labelled inputs',
  samples: 'crops of the samples',
  noise: 'inputs of noise',
} as const;

/** Whether nobody has said or measured how accurate the variant is. */
export function isUnknown({ value, source }: Accuracy): boolean {
  return source !== 'measured' && value === 0;
}

/** How accurate a variant is and how that is known. Only what was measured on labelled data is called measured. */
export function accuracyCell(accuracy: Accuracy): HTMLElement {
  if (isUnknown(accuracy)) return element('span', { class: 'faint' }, 'not known');
  const { value, source, metric } = accuracy;
  const bound = source === 'agreement' ? '≥\u00a0' : '';
  return element(
    'span',
    {},
    `${bound}${formatShare(value, 2)}${metric === undefined || metric === 'top-1' ? '' : ` ${metric}`}`,
    element('span', { class: 'faint' }, origin(accuracy)),
  );
}

function origin({ source, sampleSize, interval, agreement }: Accuracy): string {
  if (source === 'measured') {
    const on = `measured on ${sampleSize.toLocaleString('en')}`;
    return interval === undefined ? on : `${on}, ${range(interval)}`;
  }
  if (source === 'declared' || agreement === undefined) return 'declared, not measured';
  return 'lower bound: declared, less disagreement';
}

/** What a variant loses against the model that it was made from, or how often it agrees with it. */
export function lossCell({ accuracy, cascade }: TaskInfo['variants'][number]): HTMLElement {
  const { drop, agreement } = accuracy;
  const lines: string[] = [];
  if (drop !== undefined) {
    const { value, low, high } = drop;
    lines.push(`${change(-value)} points (${change(-high)} to ${change(-low)})`);
  }
  if (agreement !== undefined) {
    const { value, sampleSize, inputs, interval } = agreement;
    lines.push(
      `agrees on ${formatShare(value, 2)} of ${sampleSize.toLocaleString('en')} ${INPUTS[inputs]} (${range(interval)})`,
    );
  }
  if (cascade !== undefined) {
    const { value, sampleSize, interval } = cascade.escalation;
    lines.push(`escalates ${formatShare(value)} of ${sampleSize.toLocaleString('en')} (${range(interval)})`);
  }
  if (lines.length === 0) return element('span', { class: 'faint' }, 'is a base');
  return element('ul', { class: 'lines-of-text' }, ...lines.map((line) => element('li', {}, line)));
}

function range({ low, high }: { readonly low: number; readonly high: number }): string {
  const percent = (share: number) => Number((share * 100).toFixed(2));
  return `${percent(low)} to ${percent(high)}\u00a0%`;
}

/** A change of a share in points of a percentage; U+2212 is the minus that is as wide as a plus. */
function change(difference: number): string {
  const points = Number((difference * 100).toFixed(2));
  if (points === 0) return '±0';
  return points > 0 ? `+${points}` : `−${-points}`;
}
