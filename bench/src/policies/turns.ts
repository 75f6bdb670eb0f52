/** Something that has its turn. */
export interface Turn {
  /** How often, compared with the others; above 0. */
  readonly perSecond: number;
  /** Turns that it is owed; 0 at first. */
  credit: number;
}

/** Whose turn it is: weighted round robin, evenly spread (as nginx does). Ties: the first. Undefined of none. */
export function nextInTurn<Entry extends Turn>(entries: Iterable<Entry>): Entry | undefined {
  let next: Entry | undefined;
  let total = 0;
  for (const entry of entries) {
    entry.credit += entry.perSecond;
    total += entry.perSecond;
    if (next === undefined || entry.credit > next.credit) next = entry;
  }
  if (next !== undefined) next.credit -= total;
  return next;
}
