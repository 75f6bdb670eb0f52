import type { Scenario, ScenarioMachine } from '../scenario/scenario.ts';
import type { EventQueue } from './event-queue.ts';

/** Work this small is done: what the rounding of sums leaves over. */
const DONE_MS = 1e-6;

/** The time of a run, and what will happen. */
interface Timeline {
  readonly events: EventQueue;
  readonly nowMs: number;
}

interface Computation {
  /** What is left of it, as if it ran alone. */
  leftMs: number;
  readonly startedMs: number;
  readonly done: (tookMs: number) => void;
}

/** Runs computations, those of one machine beside each other and the slower the more of them there are. */
export class Machines {
  readonly #run: Timeline;
  readonly #shared = new Map<string, SharedMachine>();
  /** By tier and device class. */
  readonly #machineOf = new Map<string, SharedMachine>();

  constructor(run: Timeline & { readonly scenario: Scenario }) {
    this.#run = run;
    const { machines = [], fleet, browsers } = run.scenario;
    for (const machine of machines) this.#shared.set(machine.name, new SharedMachine(machine, run));
    const users = [
      ...fleet,
      ...browsers.deviceClasses.map((entry) => ({ ...entry, tier: 'browser' as const })),
    ];
    for (const { tier, deviceClass, machine } of users) {
      const shared = machine === undefined ? undefined : this.#shared.get(machine);
      if (shared !== undefined) this.#machineOf.set(keyOf(tier, deviceClass), shared);
    }
  }

  /** Calls `done`, with the time that it took, when work is over that takes `workMs` where nothing else runs. */
  compute(
    tier: 'browser' | 'edge' | 'pool',
    deviceClass: string,
    workMs: number,
    done: (tookMs: number) => void,
  ): void {
    const machine = this.#machineOf.size === 0 ? undefined : this.#machineOf.get(keyOf(tier, deviceClass));
    if (machine !== undefined) machine.start(workMs, done);
    else this.#run.events.push(this.#run.nowMs + workMs, () => done(workMs));
  }
}

function keyOf(tier: string, deviceClass: string): string {
  return `${tier} ${deviceClass}`;
}

/** One machine: of k computations each goes on at 1 / slowdown(k) of its speed alone. */
class SharedMachine {
  readonly #slowdown: readonly number[];
  readonly #run: Timeline;
  readonly #running = new Set<Computation>();
  #updatedMs = 0;
  /** Counts the changes, so that the end of a computation that was put off since is known as such. */
  #change = 0;

  constructor({ slowdown }: ScenarioMachine, run: Timeline) {
    this.#slowdown = slowdown;
    this.#run = run;
  }

  start(workMs: number, done: Computation['done']): void {
    this.#advance();
    this.#running.add({ leftMs: workMs, startedMs: this.#run.nowMs, done });
    this.#expectNext();
  }

  /** Beyond the curve's end the last factor grows in proportion: what the machine does in all stays the same. */
  get #factor(): number {
    const { length } = this.#slowdown;
    const { size } = this.#running;
    return (this.#slowdown[Math.min(size, length) - 1] ?? 1) * Math.max(1, size / length);
  }

  #advance(): void {
    const { nowMs } = this.#run;
    const doneMs = this.#running.size === 0 ? 0 : (nowMs - this.#updatedMs) / this.#factor;
    for (const computation of this.#running) computation.leftMs -= doneMs;
    this.#updatedMs = nowMs;
  }

  #expectNext(): void {
    this.#change += 1;
    if (this.#running.size === 0) return;
    const change = this.#change;
    let leastMs = Number.POSITIVE_INFINITY;
    for (const { leftMs } of this.#running) leastMs = Math.min(leastMs, leftMs);
    this.#run.events.push(this.#run.nowMs + Math.max(0, leastMs) * this.#factor, () => {
      if (change === this.#change) this.#finish(leastMs);
    });
  }

  /** Ends what had `leastMs` or hardly more left when it was expected: in the order in which they began. */
  #finish(leastMs: number): void {
    const { nowMs } = this.#run;
    const ended: Computation[] = [];
    for (const computation of this.#running) {
      if (computation.leftMs <= leastMs + DONE_MS) ended.push(computation);
    }
    this.#advance();
    for (const computation of ended) this.#running.delete(computation);
    this.#expectNext();
    for (const { startedMs, done } of ended) done(nowMs - startedMs);
  }
}
