import type { ParetoLineBody, TaskInfo } from '@nearfar/protocol';
import { element } from '../dom.ts';
import { formatBytes, formatCost, formatMs } from '../format.ts';
import { tierBadge } from '../tier-badge.ts';
import { accuracyCell, lossCell } from './accuracy-cells.ts';
import { deviceClassText } from './device-class.ts';

/** Heads of the table, in the order of a row's cells. */
export const VARIANT_HEADS = [
  'Variant',
  'Accuracy',
  'Against its base',
  'Size',
  'One input: p50 / p99, cost of 1,000',
] as const;

type Variant = TaskInfo['variants'][number];
type Cell = ParetoLineBody['cells'][number];

/** A variant with what was measured of it; everything that its row shows. */
export interface VariantItem {
  readonly variant: Variant;
  readonly line: ParetoLineBody | undefined;
}

/** The variants in the order of the table: by size, cascades last. */
export function variantItems({ variants }: TaskInfo, lines: readonly ParetoLineBody[]): VariantItem[] {
  const items = variants.map((variant) => ({
    variant,
    line: lines.find((line) => line.variant === variant.variant),
  }));
  return items.sort(
    (a, b) =>
      Number(a.variant.format === 'cascade') - Number(b.variant.format === 'cascade') ||
      sizeOf(a) - sizeOf(b) ||
      a.variant.variant.localeCompare(b.variant.variant),
  );
}

/** Muted where another variant is the better choice on every device class. */
export function variantRow(item: VariantItem): HTMLTableRowElement {
  const { variant, line } = item;
  const cells = line?.cells ?? [];
  const isDominated = cells.length > 0 && cells.every(({ dominatedBy }) => dominatedBy !== undefined);
  const contents = [
    accuracyCell(variant.accuracy),
    lossCell(variant),
    formatBytes(sizeOf(item)),
    cells.length === 0
      ? element('span', { class: 'faint' }, 'not measured yet')
      : element('ul', { class: 'measured' }, ...cells.map(measuredLine)),
  ];
  return element(
    'tr',
    { class: isDominated && 'is-dominated' },
    element(
      'th',
      { scope: 'row' },
      variant.variant,
      element('span', { class: 'faint' }, describe(variant)),
      element('span', { class: 'badges' }, ...variant.tiers.map(tierBadge)),
    ),
    ...contents.map((content, index) => element('td', { 'data-head': VARIANT_HEADS[index + 1] }, content)),
  );
}

function describe({ format, precision, revision, origin, cascade }: Variant): string {
  if (cascade !== undefined) {
    return `${cascade.small}, then ${cascade.large} where the score is below ${cascade.threshold}`;
  }
  return `revision ${revision} · ${precision} ${format} · ${origin}`;
}

function measuredLine({ deviceClass, p50Ms, p99Ms, samples, costs, dominatedBy }: Cell): HTMLElement {
  const cost = costs.map(({ tier, usdPer1000 }) =>
    element('span', {}, `${formatCost(usdPer1000)} `, element('span', { class: 'faint' }, tier)),
  );
  return element(
    'li',
    { class: dominatedBy !== undefined && 'is-dominated', title: `${samples} batches measured` },
    deviceClassText(deviceClass),
    element('span', {}, `${formatMs(p50Ms)} / ${formatMs(p99Ms)}`),
    element('span', { class: 'costs' }, ...(cost.length === 0 ? ['cost not known'] : cost)),
    dominatedBy !== undefined && element('span', { class: 'dominated faint' }, `dominated by ${dominatedBy}`),
  );
}

/** Bytes of the variant's files; those of a cascade are its stages', which the line knows. */
function sizeOf({ variant, line }: VariantItem): number {
  return line?.sizeBytes ?? variant.artifacts.reduce((sum, artifact) => sum + artifact.sizeBytes, 0);
}
