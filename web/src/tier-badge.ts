import type { Tier } from '@nearfar/protocol';
import { element } from './dom.ts';

/** The tier's name in its colour. */
export function tierBadge(tier: Tier): HTMLElement {
  return element('span', { class: `tier tier-${tier}` }, tier);
}
