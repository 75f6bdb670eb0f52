/** A point and the name that it wants beside it, in pixels; an empty one only keeps others away. */
export interface Labelled {
  readonly text: string;
  readonly x: number;
  readonly y: number;
}

/** A name and where it goes; `y` is the base line. */
export interface PlacedLabel extends Labelled {
  readonly anchor: 'start' | 'middle' | 'end';
}

/** A rectangle in pixels. */
export interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Width of a character and height of a line at the chart's letter size; generous, since fonts differ. */
const CHARACTER = 6.6;
const LINE = 13;
/** From the middle of a point to its name. */
const GAP = 10;
const POINT_RADIUS = 7;

/**
 * Puts names beside their points: to the right, the left, above or below, wherever the first free place is. A name that
 * would cover another one or a point, or leave `bounds`, is left out; whoever comes first in `points` is served first.
 */
export function placeLabels(points: readonly Labelled[], bounds: Box): PlacedLabel[] {
  const taken: Box[] = points.map(({ x, y }) => ({
    left: x - POINT_RADIUS,
    right: x + POINT_RADIUS,
    top: y - POINT_RADIUS,
    bottom: y + POINT_RADIUS,
  }));
  return points.flatMap((point) => {
    for (const label of point.text === '' ? [] : placesOf(point)) {
      const box = boxOf(label);
      if (!isInside(box, bounds) || taken.some((other) => overlap(box, other))) continue;
      taken.push(box);
      return [label];
    }
    return [];
  });
}

function placesOf({ text, x, y }: Labelled): PlacedLabel[] {
  return [
    { text, x: x + GAP, y: y + 4, anchor: 'start' },
    { text, x: x - GAP, y: y + 4, anchor: 'end' },
    { text, x, y: y - GAP, anchor: 'middle' },
    { text, x, y: y + GAP + LINE - 3, anchor: 'middle' },
  ];
}

function boxOf({ text, x, y, anchor }: PlacedLabel): Box {
  const width = text.length * CHARACTER;
  const left = anchor === 'start' ? x : anchor === 'end' ? x - width : x - width / 2;
  return { left, right: left + width, top: y - LINE + 3, bottom: y + 3 };
}

function isInside(box: Box, bounds: Box): boolean {
  return (
    box.left >= bounds.left &&
    box.right <= bounds.right &&
    box.top >= bounds.top &&
    box.bottom <= bounds.bottom
  );
}

function overlap(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}
