import { Sketch } from './sketch.ts';

/** Newest live times that are compared with what was measured before them. */
export const DRIFT_WINDOW = 50;

/** Medians further apart than this factor, either way, are drift: noise on a busy device stays well below it. */
export const DRIFT_FACTOR = 1.5;

/** A comparison costs some microseconds, so only every tenth live time makes one. */
const COMPARE_EVERY = 10;

/**
 * Times of one variant at one batch size on one device, as a sketch that follows the device: when the newest
 * `DRIFT_WINDOW` live times have a median further than `DRIFT_FACTOR` from that of all times before them, those count no
 * more and the newest are the sketch. What was measured before a driver update, a throttled battery or a busier machine
 * must not predict what comes after it.
 */
export class LiveSketch {
  readonly #window: number[] = [];
  #all = new Sketch();
  /** What is in `#all` and not in the window. */
  #before = new Sketch();
  #sinceCompared = 0;

  /** All times that count now. Another object after each drift. */
  get sketch(): Sketch {
    return this.#all;
  }

  /** Adds a time that was measured on purpose, in milliseconds. */
  addMeasured(valueMs: number): void {
    this.#all.add(valueMs);
    this.#before.add(valueMs);
  }

  /** Adds the time of a request, in milliseconds; gives whether the times before the newest have ceased to count. */
  addLive(valueMs: number): boolean {
    this.#all.add(valueMs);
    this.#window.push(valueMs);
    this.#sinceCompared += 1;
    if (this.#window.length > DRIFT_WINDOW) {
      const [leaving] = this.#window.splice(0, 1);
      if (leaving !== undefined) this.#before.add(leaving);
    }
    if (this.#window.length < DRIFT_WINDOW || this.#sinceCompared < COMPARE_EVERY) return false;
    this.#sinceCompared = 0;
    const newest = sketchOf(this.#window);
    if (!isDrift(this.#before.quantile(0.5), newest.quantile(0.5))) return false;
    this.#all = newest;
    this.#before = new Sketch();
    return true;
  }
}

/** Whether two medians in milliseconds are further apart than `DRIFT_FACTOR`; never when one is unknown. */
export function isDrift(beforeMs: number | undefined, newestMs: number | undefined): boolean {
  if (beforeMs === undefined || newestMs === undefined) return false;
  return newestMs > beforeMs * DRIFT_FACTOR || newestMs < beforeMs / DRIFT_FACTOR;
}

function sketchOf(times: readonly number[]): Sketch {
  const sketch = new Sketch();
  for (const time of times) sketch.add(time);
  return sketch;
}
