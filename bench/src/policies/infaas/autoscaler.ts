import type { SimulatedWorker, World } from '../../simulator/policy.ts';
import type { Engine } from './engines.ts';
import { type InfaasFleet, nameOf } from './fleet.ts';
import type { Replica } from './replica.ts';
import { INITIAL_MACHINE_STATE, lookAtMachines, type MachineState } from './scale-machines.ts';
import { countVotes, growth, type ShortCpu, scaleNeed } from './scale-models.ts';

/** Carries out what the two autoscalers of INFaaS decide: the one for variants and the one for machines. */
export class InfaasAutoscaler {
  readonly #fleet: InfaasFleet;
  readonly #engines: ReadonlyMap<string, readonly Engine[]>;
  readonly #machines = new Map<string, MachineState>();

  constructor(fleet: InfaasFleet, engines: ReadonlyMap<string, readonly Engine[]>) {
    this.#fleet = fleet;
    this.#engines = engines;
  }

  /** Every second: closes what was measured, then grows and shrinks variants. */
  closeSecond(world: World): void {
    this.#fleet.utilisation.closePeriod(world.nowMs);
    const short = new Map<string, ShortCpu[]>();
    for (const worker of world.workers) {
      for (const [name, replica] of this.#fleet.replicasAt(worker)) {
        replica.closeSecond();
        if (!worker.ready.has(name) || replica.isLeaving) continue;
        if (replica.engine.isGpu) this.#scaleGpu(worker, replica, world);
        else {
          const need = scaleNeed(replica.engine, replica.arrivalsPerSecond);
          if (need.count > 0) short.set(name, [...(short.get(name) ?? []), { engine: replica.engine, need }]);
          this.#vote(worker, replica, need.count, undefined, world);
        }
      }
    }
    for (const cpus of short.values()) this.#grow(cpus, world);
  }

  /** Every two seconds: starts and stops machines of elastic classes. */
  scaleMachines(world: World): void {
    for (const fleetClass of world.scenario.fleet) {
      const { deviceClass, tier, min, max } = fleetClass;
      if (min === max) continue;
      const workers = world.workers.filter(
        (worker) => worker.deviceClass === deviceClass && !worker.isDraining,
      );
      const { state, action } = lookAtMachines(this.#machines.get(deviceClass) ?? INITIAL_MACHINE_STATE, {
        tier,
        utilisations: workers.map((worker) => this.#fleet.utilisation.of(worker)),
        isAsked: this.#fleet.asked.has(deviceClass),
        canStart: workers.length < max,
        canStop: workers.length > min,
      });
      this.#machines.set(deviceClass, state);
      if (action === undefined) continue;
      this.#fleet.asked.delete(deviceClass);
      if (action === 'start') world.startWorker(deviceClass);
      else {
        const [victim] = workers.toSorted(
          (a, b) => this.#fleet.utilisation.of(a) - this.#fleet.utilisation.of(b),
        );
        if (victim !== undefined) world.stopWorker(victim);
      }
    }
  }

  /** A GPU that is short changes to the next larger batch; one with little to do votes for the next smaller. */
  #scaleGpu(worker: SimulatedWorker, replica: Replica, world: World): void {
    const sizes = (this.#engines.get(replica.engine.task) ?? []).filter(
      ({ variant, deviceClass }) =>
        variant === replica.engine.variant && deviceClass === replica.engine.deviceClass,
    );
    const position = sizes.findIndex(({ key }) => key === replica.engine.key);
    const smaller = sizes[position - 1];
    const need = scaleNeed(replica.engine, replica.arrivalsPerSecond, smaller);
    if (need.count > 0) replica.engine = sizes[position + 1] ?? replica.engine;
    this.#vote(worker, replica, need.count, smaller, world);
  }

  #vote(
    worker: SimulatedWorker,
    replica: Replica,
    count: number,
    smaller: Engine | undefined,
    world: World,
  ): void {
    const { votes, shrinks } = countVotes(replica.scaleDownVotes, count, replica.engine.isGpu);
    replica.scaleDownVotes = votes;
    if (!shrinks) return;
    if (smaller !== undefined) replica.engine = smaller;
    else {
      replica.isLeaving = true;
      this.#fleet.unloadIfLeft(worker, replica, world);
    }
  }

  #grow(short: readonly ShortCpu[], world: World): void {
    const engine = short[0]?.engine;
    if (engine === undefined) return;
    const [fastest] = (this.#engines.get(engine.task) ?? [])
      .filter(({ isGpu, variant }) => isGpu && variant === engine.variant)
      .toSorted((a, b) => a.loadMs + a.latencyMs - (b.loadMs + b.latencyMs));
    const cpus = world.workers.filter(
      (worker) =>
        worker.deviceClass === engine.deviceClass &&
        !worker.isDraining &&
        !this.#fleet.replicasAt(worker).has(nameOf(engine)) &&
        this.#fleet.hasRoom(worker, engine, world),
    );
    const isUpgraded =
      fastest !== undefined &&
      world.workers.some(
        (worker) =>
          worker.deviceClass === fastest.deviceClass && this.#fleet.replicasAt(worker).has(nameOf(fastest)),
      );
    const change = growth(short, isUpgraded ? undefined : fastest, cpus.length);
    if (change.kind === 'upgrade') {
      const worker = this.#fleet.leastLoaded(change.engine, world);
      if (worker !== undefined) this.#fleet.load(worker, change.engine, world);
      else this.#fleet.asked.add(change.engine.deviceClass);
    } else if (change.kind === 'replicate') {
      for (let step = 0; step < change.count; step += 1) {
        const [worker] = cpus
          .filter((cpu) => !this.#fleet.replicasAt(cpu).has(nameOf(engine)))
          .toSorted((a, b) => this.#fleet.utilisation.of(a) - this.#fleet.utilisation.of(b));
        if (worker !== undefined) this.#fleet.load(worker, engine, world);
      }
    }
  }
}
