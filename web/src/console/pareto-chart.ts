import { element, fill } from '../dom.ts';
import { formatCost, formatMs, formatShare } from '../format.ts';
import { type Axis, type ChartPoint, frontier, logScale, type Scale, shareScale } from './chart-points.ts';
import { placeLabels } from './label-places.ts';

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT = 272;
/** Room for the numbers beside the axes, in pixels. */
const PAD = { left: 62, right: 16, top: 30, bottom: 42 } as const;
const NARROWEST = 240;
const TICK_DISTANCE = 52;
/** Narrower charts have no room for the names of what is dominated. */
const WIDE = 600;

const AXES = {
  latency: { name: 'median of one input', unit: 'p50, log scale', format: formatMs },
  cost: { name: 'cost of 1,000 requests', unit: 'cost of 1,000, log scale', format: formatCost },
} as const;

/** What a chart shows. */
export interface ChartView {
  readonly task: string;
  readonly deviceClass: string;
  readonly axis: Axis;
  readonly points: readonly ChartPoint[];
}

/** Accuracy against speed or cost, drawn anew when its facts or its width change. */
export class ParetoChart {
  readonly element: HTMLElement = element('div', { class: 'chart' });
  #view: ChartView | undefined;
  #drawn = '';

  constructor() {
    new ResizeObserver(() => this.#draw()).observe(this.element);
  }

  show(view: ChartView): void {
    this.#view = view;
    this.#draw();
  }

  #draw(): void {
    if (this.#view === undefined) return;
    const width = Math.max(NARROWEST, this.element.clientWidth);
    const signature = JSON.stringify([width, this.#view]);
    if (signature === this.#drawn) return;
    this.#drawn = signature;
    fill(this.element, ...drawn(this.#view, width));
  }
}

function drawn(view: ChartView, width: number): Element[] {
  const { points, axis, deviceClass } = view;
  const scale = logScale(points.map(({ x }) => x));
  if (points.length === 0 || scale === undefined) {
    const missing = axis === 'cost' ? 'whose cost is known' : 'that was measured';
    return [
      element(
        'p',
        { class: 'empty' },
        `No variant of known accuracy ${missing} on ${deviceClass}, so there is nothing to draw.`,
      ),
    ];
  }
  // For the eye only: the description says it in words.
  const legend = element(
    'p',
    { class: 'faint', 'aria-hidden': true },
    '● worth choosing  ○ dominated  ◆ cascade',
  );
  return [chart(view, scale, width), legend];
}

function chart({ task, deviceClass, axis, points }: ChartView, xScale: Scale, width: number): SVGElement {
  const yScale = shareScale(
    points.flatMap(({ accuracy, interval }) => [
      accuracy,
      interval?.low ?? accuracy,
      interval?.high ?? accuracy,
    ]),
  );
  const right = width - PAD.right;
  const bottom = HEIGHT - PAD.bottom;
  const xOf = (value: number) => {
    const share = Math.log(Math.max(value, xScale.low) / xScale.low) / Math.log(xScale.high / xScale.low);
    return PAD.left + share * (right - PAD.left);
  };
  const yOf = (value: number) =>
    bottom - ((value - yScale.low) / (yScale.high - yScale.low)) * (bottom - PAD.top);
  const placed = points.map((point) => ({ point, x: xOf(point.x), y: yOf(point.accuracy) }));
  const best = new Set(frontier(points.filter(({ dominatedBy }) => dominatedBy === undefined)));
  const ordered = placed.toSorted((a, b) => Number(best.has(b.point)) - Number(best.has(a.point)));
  const labels = placeLabels(
    ordered.map(({ point, x, y }) => ({
      text: width < WIDE && point.dominatedBy !== undefined ? '' : point.variant,
      x,
      y,
    })),
    { left: PAD.left, right: width, top: 18, bottom },
  );
  const dominated = new Set(points.filter((point) => point.dominatedBy !== undefined).map(nameOf));
  const { name, unit, format } = AXES[axis];
  return svg(
    'svg',
    { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: 'img' },
    svg('title', {}, `Accuracy of the variants of ${task} against the ${name} on ${deviceClass}`),
    svg('desc', {}, description(points, best, format)),
    ...xScale.ticks.map((tick) =>
      svg('line', { class: 'tick', x1: xOf(tick), x2: xOf(tick), y1: PAD.top, y2: bottom }),
    ),
    ...spaced(xScale.ticks, xOf).map((tick) =>
      svg('text', { x: xOf(tick), y: bottom + 16, 'text-anchor': 'middle' }, format(tick)),
    ),
    ...yScale.ticks.flatMap((tick) => [
      svg('line', { class: 'tick', x1: PAD.left, x2: right, y1: yOf(tick), y2: yOf(tick) }),
      svg('text', { x: PAD.left - 8, y: yOf(tick) + 4, 'text-anchor': 'end' }, formatShare(tick, 2)),
    ]),
    svg('text', { x: right, y: HEIGHT - 6, 'text-anchor': 'end' }, unit),
    svg('text', { x: 0, y: 12 }, 'accuracy, with its 95\u00a0% interval'),
    svg('path', { class: 'frontier', d: steps([...best].map(({ x, accuracy }) => [xOf(x), yOf(accuracy)])) }),
    ...placed.map(({ point, x, y }) => mark(point, x, y, yOf, format)),
    ...labels.map(({ text, x, y, anchor }) =>
      svg(
        'text',
        { class: dominated.has(text) ? 'label is-faint' : 'label', x, y, 'text-anchor': anchor },
        text,
      ),
    ),
  );
}

/** Ticks far enough from each other for their numbers. */
function spaced(ticks: readonly number[], xOf: (value: number) => number): number[] {
  let last = Number.NEGATIVE_INFINITY;
  return ticks.filter((tick) => {
    if (xOf(tick) - last < TICK_DISTANCE) return false;
    last = xOf(tick);
    return true;
  });
}

/** The same facts in words, for those who do not see the picture. */
function description(
  points: readonly ChartPoint[],
  best: ReadonlySet<ChartPoint>,
  format: (value: number) => string,
): string {
  const named = [...best].map(
    ({ variant, accuracy, x }) => `${variant} with ${formatShare(accuracy, 2)} at ${format(x)}`,
  );
  const rest = points.length - best.size;
  return `Best for their place on the axis: ${named.join('; ')}. ${rest} of ${points.length} variants are behind them. The table below has every figure.`;
}

function mark(
  { variant, x: value, accuracy, interval, isCascade, dominatedBy }: ChartPoint,
  x: number,
  y: number,
  yOf: (share: number) => number,
  format: (value: number) => string,
): SVGElement {
  const shape = isCascade
    ? svg('path', { class: 'shape', d: `M${x} ${y - 7}L${x + 7} ${y}L${x} ${y + 7}L${x - 7} ${y}Z` })
    : svg('circle', { class: 'shape', cx: x, cy: y, r: 5 });
  const fate = dominatedBy === undefined ? '' : `, dominated by ${dominatedBy}`;
  return svg(
    'g',
    { class: dominatedBy === undefined ? 'point' : 'point is-dominated' },
    svg('title', {}, `${variant}: ${formatShare(accuracy, 2)} at ${format(value)}${fate}`),
    ...(interval === undefined
      ? []
      : [svg('line', { class: 'interval', x1: x, x2: x, y1: yOf(interval.low), y2: yOf(interval.high) })]),
    shape,
  );
}

const nameOf = ({ variant }: ChartPoint): string => variant;

/** A line that climbs in steps: between two points the left one is still the best. */
function steps(corners: readonly (readonly [number, number])[]): string {
  return corners.map(([x, y], index) => (index === 0 ? `M${x} ${y}` : `H${x}V${y}`)).join('');
}

function svg(
  name: string,
  attributes: Readonly<Record<string, string | number>>,
  ...children: readonly (Node | string)[]
): SVGElement {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  node.append(...children);
  return node;
}
