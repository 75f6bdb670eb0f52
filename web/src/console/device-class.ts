import { element } from '../dom.ts';

/** A device class, which a narrow column may break after its kind. */
export function deviceClassText(deviceClass: string): HTMLElement {
  const [kind = '', ...rest] = deviceClass.split(':');
  if (rest.length === 0) return element('span', { class: 'faint mono' }, kind);
  return element('span', { class: 'faint mono' }, `${kind}:`, element('wbr'), rest.join(':'));
}
