import highs, { type Highs } from 'highs';

export type { Highs } from 'highs';

// Its types are those of a CommonJS module, what Node loads is an ES module: there the default export is the function.
const loadHighs = highs as unknown as typeof highs.default;

let loaded: Promise<Highs> | undefined;

/** HiGHS in this process, loaded once for all runs. A solve blocks, which a simulation may. */
export function createHighs(): Promise<Highs> {
  loaded ??= loadHighs();
  return loaded;
}
