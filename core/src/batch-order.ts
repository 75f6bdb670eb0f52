/** Positions in rising order, found one by one. */
export interface Order {
  /** The next one; undefined after the last. */
  next(): number | undefined;
}

/**
 * Puts positions in order as far as somebody asks: the first few of many cost one pass and a logarithm each (a binary heap).
 *
 * @param positions are taken over and changed.
 */
export function createOrder(positions: number[], compare: (a: number, b: number) => number): Order {
  const at = (place: number) => positions[place] as number;
  const sink = (from: number) => {
    const moved = at(from);
    let place = from;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= positions.length) break;
      if (child + 1 < positions.length && compare(at(child + 1), at(child)) < 0) child += 1;
      if (compare(moved, at(child)) <= 0) break;
      positions[place] = at(child);
      place = child;
    }
    positions[place] = moved;
  };
  for (let place = (positions.length >> 1) - 1; place >= 0; place -= 1) sink(place);
  return {
    next() {
      const first = positions[0];
      const last = positions.pop();
      if (first === undefined || last === undefined) return undefined;
      if (positions.length > 0) {
        positions[0] = last;
        sink(0);
      }
      return first;
    },
  };
}
