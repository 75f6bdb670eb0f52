import { replicaOf } from '../profile-table.ts';
import type { FleetClass } from '../scenario/scenario.ts';
import { WorkerActor } from './actors.ts';
import type { Run } from './run.ts';

/** Which workers there are, and what they hold. */
export class Fleet {
  /** Workers that have joined and not left. */
  readonly workers: WorkerActor[] = [];
  readonly #run: Run;
  readonly #onLoaded: (worker: WorkerActor) => void;
  /** Workers of each class that have not left, those that are starting included. */
  readonly #staff = new Map<FleetClass, number>();
  /** Workers that were started and have not left. */
  readonly #paid = new Set<WorkerActor>();
  #hired = 0;

  /** `onLoaded` is told of a worker with a variant more to serve. */
  constructor(run: Run, onLoaded: (worker: WorkerActor) => void) {
    this.#run = run;
    this.#onLoaded = onLoaded;
  }

  hire(spec: FleetClass): WorkerActor {
    const { nowMs, isStarting, events } = this.#run;
    const worker = new WorkerActor(`${spec.tier}-${spec.deviceClass}-${this.#hired}`, spec, nowMs);
    this.#hired += 1;
    this.#paid.add(worker);
    this.#staff.set(spec, (this.#staff.get(spec) ?? 0) + 1);
    const join = () => {
      worker.hasJoined = true;
      this.workers.push(worker);
      this.tidy(worker);
    };
    if (isStarting) join();
    else {
      worker.loadsUntilMs = nowMs + spec.startupMs;
      events.push(worker.loadsUntilMs, join);
    }
    return worker;
  }

  /** One more worker of a class, undefined where it has as many as it may. */
  start(deviceClass: string): WorkerActor | undefined {
    const spec = this.#run.scenario.fleet.find(
      (entry) => entry.deviceClass === deviceClass && (this.#staff.get(entry) ?? 0) < entry.max,
    );
    return spec === undefined ? undefined : this.hire(spec);
  }

  stop(worker: WorkerActor): void {
    const staff = this.#staff.get(worker.spec) ?? 0;
    if (worker.isDraining || worker.hasLeft || staff <= worker.spec.min) return;
    this.#staff.set(worker.spec, staff - 1);
    worker.isDraining = true;
    this.tidy(worker);
  }

  load(worker: WorkerActor, task: string, variant: string): void {
    const { profiles, isStarting, nowMs, ledger, events } = this.#run;
    const replica = replicaOf(task, variant);
    const profile = profiles.find(task, variant, worker.deviceClass);
    if (profile === undefined) throw new Error(`No profile of ${replica} on ${worker.deviceClass}`);
    if (worker.hasLeft) throw new Error(`Worker ${worker.id} has left`);
    if (worker.leaving.delete(replica)) return;
    if (worker.ready.has(replica) || worker.loading.has(replica)) return;
    if (worker.memoryBytes + profile.memoryBytes > worker.spec.memoryBytes) {
      throw new Error(`Worker ${worker.id} has no room for ${replica}`);
    }
    worker.held.set(replica, profile);
    if (isStarting) {
      worker.ready.add(replica);
      return;
    }
    const fromMs = Math.max(nowMs, worker.loadsUntilMs);
    const readyMs = fromMs + profile.loadMs;
    worker.loadsUntilMs = readyMs;
    worker.loading.set(replica, readyMs);
    ledger.load(worker, fromMs, profile.loadMs);
    events.push(readyMs, () => {
      worker.loading.delete(replica);
      worker.ready.add(replica);
      this.tidy(worker);
      this.#onLoaded(worker);
    });
  }

  unload(worker: WorkerActor, task: string, variant: string): void {
    const replica = replicaOf(task, variant);
    if (!worker.ready.has(replica) && !worker.loading.has(replica)) return;
    worker.leaving.add(replica);
    this.tidy(worker);
  }

  /** Lets go what nothing waits for any more: variants that are to leave, and the worker itself when it drains. */
  tidy(worker: WorkerActor): void {
    for (const replica of worker.leaving) {
      const isUsed = (worker.pending.get(replica) ?? 0) > 0 || worker.runningReplica === replica;
      if (isUsed || !worker.ready.has(replica)) continue;
      worker.leaving.delete(replica);
      worker.ready.delete(replica);
      worker.held.delete(replica);
    }
    const isIdle = worker.inTransit === 0 && worker.queue.length === 0 && !worker.isBusy;
    if (!worker.isDraining || !isIdle || worker.hasLeft || !worker.hasJoined) return;
    worker.hasLeft = true;
    this.workers.splice(this.workers.indexOf(worker), 1);
    this.#paid.delete(worker);
    this.#run.ledger.provisioned(worker, this.#run.nowMs);
  }

  /** Books what the workers cost that are still there at the end. */
  close(endMs: number): void {
    for (const worker of this.#paid) this.#run.ledger.provisioned(worker, endMs);
  }
}
