import type { SimulatedRequest, SimulatedWorker, World } from '../../simulator/policy.ts';
import type { Engine } from './engines.ts';
import { RequestRate, Utilisation } from './measure.ts';
import { Replica } from './replica.ts';
import type { EngineState } from './select.ts';

/**
 * What INFaaS's master keeps in Redis: which worker holds which engine, how busy each is, and where the next replica goes.
 */
export class InfaasFleet {
  readonly utilisation = new Utilisation();
  /** Device classes for which a request found no worker, or only blacklisted GPUs. */
  readonly asked = new Set<string>();
  /** By worker, its replicas by `task/variant`. */
  readonly #replicas = new Map<SimulatedWorker, Map<string, Replica>>();
  readonly #rates = new Map<SimulatedWorker, RequestRate>();

  /** By `task/variant`; empty for a worker that holds nothing. */
  replicasAt(worker: SimulatedWorker): ReadonlyMap<string, Replica> {
    return this.#replicas.get(worker) ?? NOTHING;
  }

  /** Sends a request to a worker, which loads the engine where it does not hold it. */
  dispatch(request: SimulatedRequest, worker: SimulatedWorker, engine: Engine, world: World): Replica {
    const replica = this.replicasAt(worker).get(nameOf(engine)) ?? this.load(worker, engine, world);
    replica.arrived();
    this.#rateOf(worker).add(world.nowMs);
    world.dispatch(request, worker, engine.variant);
    return replica;
  }

  /** Whether an engine runs, and whether the replica that would take the next request is blacklisted. */
  stateOf(engine: Engine, world: World): EngineState {
    const worker = this.leastRequested(engine, world);
    const replica = worker && this.#replicas.get(worker)?.get(nameOf(engine));
    return { isRunning: replica !== undefined, isBlacklisted: replica?.isBlacklisted ?? false };
  }

  /** The worker whose replica of the engine has the fewest requests a second [C: min_qps_name]. */
  leastRequested(engine: Engine, world: World): SimulatedWorker | undefined {
    const name = nameOf(engine);
    let best: SimulatedWorker | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const worker of world.workers) {
      if (worker.deviceClass !== engine.deviceClass || worker.isDraining || !worker.ready.has(name)) continue;
      const replica = this.#replicas.get(worker)?.get(name);
      if (replica === undefined || replica.isLeaving || replica.engine.key !== engine.key) continue;
      // The rate of the last second sends all of this one to one replica; what was sent since decides first.
      const load = replica.arrivalsSoFar + replica.arrivalsPerSecond / 1e6;
      if (load >= least) continue;
      best = worker;
      least = load;
    }
    return best;
  }

  /** A worker for an engine that does not run, or whose running replicas are blacklisted. */
  placeAnew(engine: Engine, running: SimulatedWorker | undefined, world: World): SimulatedWorker | undefined {
    if (running !== undefined) this.asked.add(engine.deviceClass);
    const name = nameOf(engine);
    // Where it is being loaded already, nobody loads it once more; and nobody waits for that where a replica runs.
    const loading = world.workers.find(
      (worker) => worker.deviceClass === engine.deviceClass && !worker.isDraining && worker.loading.has(name),
    );
    if (loading !== undefined) return running ?? loading;
    const worker = this.leastLoaded(engine, world);
    if (worker === undefined) return running;
    if (this.#replicas.get(worker)?.has(name)) return this.#takeOver(engine, running === undefined, world);
    this.load(worker, engine, world);
    return running ?? worker;
  }

  /**
   * The holder of the network, as whatever engine, with the fewest requests since the second began. Where the engine itself
   * is not running, the holder changes its batch size to it, at no cost.
   */
  #takeOver(engine: Engine, changesSize: boolean, world: World): SimulatedWorker | undefined {
    let best: SimulatedWorker | undefined;
    let chosen: Replica | undefined;
    for (const worker of world.workers) {
      const replica = this.#replicas.get(worker)?.get(nameOf(engine));
      if (worker.deviceClass !== engine.deviceClass || worker.isDraining || replica === undefined) continue;
      if (chosen !== undefined && replica.arrivalsSoFar >= chosen.arrivalsSoFar) continue;
      best = worker;
      chosen = replica;
    }
    if (chosen !== undefined) {
      chosen.isLeaving = false;
      if (changesSize) chosen.engine = engine;
    }
    return best;
  }

  /** The least utilised worker of the engine's class with room for it; ties by chance. Busy ones last [C]. */
  leastLoaded(engine: Engine, world: World): SimulatedWorker | undefined {
    const able = world.workers.filter(
      (worker) =>
        worker.deviceClass === engine.deviceClass &&
        !worker.isDraining &&
        (this.#replicas.get(worker)?.has(nameOf(engine)) || this.hasRoom(worker, engine, world)),
    );
    const open = able.filter(
      (worker) =>
        !this.#rateOf(worker).isBlacklisted(world.nowMs) &&
        !this.utilisation.isBlacklisted(worker, world.nowMs),
    );
    const candidates = open.length > 0 ? open : able;
    const shuffled = candidates.map((worker) => ({
      worker,
      used: this.utilisation.of(worker),
      held: this.#replicas.get(worker)?.size ?? 0,
      chance: world.random(),
    }));
    shuffled.sort((a, b) => a.used - b.used || a.held - b.held || a.chance - b.chance);
    return shuffled[0]?.worker;
  }

  /** Workers with room for an engine, on a CPU only those that hold nothing; the emptiest first. */
  emptiest(engine: Engine, world: World): SimulatedWorker[] {
    const held = (worker: SimulatedWorker) => this.#replicas.get(worker)?.size ?? 0;
    return world.workers
      .filter(
        (worker) =>
          worker.deviceClass === engine.deviceClass &&
          (engine.isGpu || held(worker) === 0) &&
          this.hasRoom(worker, engine, world),
      )
      .toSorted((a, b) => held(a) - held(b));
  }

  /** Whether a worker has memory for an engine beside what it holds. */
  hasRoom(worker: SimulatedWorker, engine: Engine, { scenario, profiles }: World): boolean {
    const total =
      scenario.fleet.find(({ deviceClass }) => deviceClass === worker.deviceClass)?.memoryBytes ?? 0;
    let used = profiles.find(engine.task, engine.variant, engine.deviceClass)?.memoryBytes ?? 0;
    for (const replica of this.#replicas.get(worker)?.values() ?? []) {
      used +=
        profiles.find(replica.engine.task, replica.engine.variant, worker.deviceClass)?.memoryBytes ?? 0;
    }
    return used <= total;
  }

  /** Loads an engine, ready once the simulated worker has it. */
  load(worker: SimulatedWorker, engine: Engine, world: World): Replica {
    const own = this.#replicas.get(worker) ?? new Map<string, Replica>();
    this.#replicas.set(worker, own);
    const replica = new Replica(engine);
    own.set(nameOf(engine), replica);
    world.load(worker, engine.task, engine.variant);
    return replica;
  }

  /** Gives up a replica that is to leave, once nothing is left for it. */
  unloadIfLeft(worker: SimulatedWorker, replica: Replica, world: World): void {
    const own = this.#replicas.get(worker);
    const name = nameOf(replica.engine);
    if (!replica.isLeaving || replica.pending > 0 || own?.get(name) !== replica) return;
    own.delete(name);
    world.unload(worker, replica.engine.task, replica.engine.variant);
  }

  #rateOf(worker: SimulatedWorker): RequestRate {
    const rate = this.#rates.get(worker) ?? new RequestRate();
    this.#rates.set(worker, rate);
    return rate;
  }
}

const NOTHING: ReadonlyMap<string, Replica> = new Map();

/** `task/variant`, as workers name what they hold. */
export function nameOf({ task, variant }: Engine): string {
  return `${task}/${variant}`;
}
