import type { ClassUse, PricedClass } from './prices.ts';

/** One execution that has ended, as far as the scarcity of its class of workers rests on it. */
export interface Used {
  /** Its share of its batch's time. */
  readonly busyMs: number;
  /** What its deadline left for waiting when it was sent; below 0 = it was late already. */
  readonly slackMs: number;
}

/** A worker that takes work, when the use of its class is summed up. */
export interface ObservedWorker extends PricedClass {
  /** Batches that it runs at the same time, from 1. */
  readonly slots: number;
  /** Until it will have done what it has, with all of its slots. */
  readonly backlogMs: number;
}

interface Sums extends PricedClass {
  executions: number;
  busyMs: number;
  slackMs: number;
  slots: number;
  /** Of all slots of the class: now, and when they were summed up before. */
  backlogMs: number;
  formerMs: number;
}

/** How classes of workers are used, summed up between one observation and the next, as `PriceTracker.observe` wants it. */
export class ClassUses {
  readonly #sums = new Map<string, Sums>();

  /** Notes an execution that has ended. */
  used({ tier, deviceClass }: PricedClass, { busyMs, slackMs }: Used): void {
    const sums = this.#of(tier, deviceClass);
    sums.executions += 1;
    sums.busyMs += busyMs;
    sums.slackMs += Math.max(0, slackMs);
  }

  /**
   * What was asked of each class in the last `elapsedMs`, above 0: what it did, and what waits now but did not before. A class
   * without workers is forgotten.
   */
  take(workers: Iterable<ObservedWorker>, elapsedMs: number): ClassUse[] {
    for (const { tier, deviceClass, slots, backlogMs } of workers) {
      const sums = this.#of(tier, deviceClass);
      sums.slots += slots;
      sums.backlogMs += backlogMs * slots;
    }
    const uses: ClassUse[] = [];
    for (const [name, sums] of this.#sums) {
      const { tier, deviceClass, executions, busyMs, slackMs, slots, backlogMs, formerMs } = sums;
      if (slots === 0) {
        this.#sums.delete(name);
        continue;
      }
      uses.push({
        tier,
        deviceClass,
        slots,
        utilisation: Math.max(0, busyMs + backlogMs - formerMs) / (slots * elapsedMs),
        serviceMs: executions > 0 ? busyMs / executions : 0,
        slackMs: executions > 0 ? slackMs / executions : 0,
      });
      this.#sums.set(name, { ...nothing(tier, deviceClass), formerMs: backlogMs });
    }
    return uses;
  }

  #of(tier: PricedClass['tier'], deviceClass: string): Sums {
    const name = `${tier} ${deviceClass}`;
    let sums = this.#sums.get(name);
    if (sums === undefined) {
      sums = nothing(tier, deviceClass);
      this.#sums.set(name, sums);
    }
    return sums;
  }
}

function nothing(tier: PricedClass['tier'], deviceClass: string): Sums {
  return { tier, deviceClass, executions: 0, busyMs: 0, slackMs: 0, slots: 0, backlogMs: 0, formerMs: 0 };
}
