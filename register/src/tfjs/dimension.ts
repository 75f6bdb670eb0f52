/**
 * The size of an axis: `size` times every free dimension named in `free`, which are known only when the model runs. `4420 · N` is
 * `{ size: 4420, free: ['N'] }`. An element of a shape tensor is one as well, so `size` may be 0 or negative where `free` is empty.
 */
export interface Dimension {
  readonly size: number;
  /** Names in ascending order; a name that is there twice is squared. */
  readonly free: readonly string[];
}

/** A size that is the same in every run. */
export function known(size: number): Dimension {
  return { size, free: [] };
}

/** A free axis; those of one name are equal. */
export function unknown(name: string): Dimension {
  return { size: 1, free: [name] };
}

/** Whether the size is the same in every run. */
export function isKnown({ free }: Dimension): boolean {
  return free.length === 0;
}

/** Whether the axis is known to have exactly this size. */
export function isSize(dimension: Dimension, size: number): boolean {
  return isKnown(dimension) && dimension.size === size;
}

/** Whether two sizes are known to be equal. */
export function isSame(a: Dimension, b: Dimension): boolean {
  return a.size === b.size && a.free.join() === b.free.join();
}

/** The number of elements that axes of these sizes hold; 1 for none. */
export function product(dimensions: readonly Dimension[]): Dimension {
  return {
    size: dimensions.reduce((size, dimension) => size * dimension.size, 1),
    free: dimensions.flatMap(({ free }) => free).toSorted(),
  };
}

/** `whole / part`, or undefined where that is not known to be a whole number. */
export function quotient(whole: Dimension, part: Dimension): Dimension | undefined {
  const free = [...whole.free];
  for (const name of part.free) {
    const index = free.indexOf(name);
    if (index < 0) return undefined;
    free.splice(index, 1);
  }
  const size = whole.size / part.size;
  return Number.isInteger(size) ? { size, free } : undefined;
}

/** The size as tfjs writes it in shapes: -1 for one that is not known. */
export function sizeOrFree(dimension: Dimension): number {
  return isKnown(dimension) ? dimension.size : -1;
}

/** `[N, 3, 224, 224]`, for messages. */
export function printShape(shape: readonly Dimension[]): string {
  const print = ({ size, free }: Dimension) =>
    [...(size === 1 && free.length > 0 ? [] : [size]), ...free].join(' · ');
  return `[${shape.map(print).join(', ')}]`;
}
