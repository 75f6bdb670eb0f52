import { replicaOf } from '../profile-table.ts';
import type { ScenarioTask } from '../scenario/scenario.ts';
import type {
  Policy,
  PolicyFactory,
  SimulatedOutcome,
  SimulatedRequest,
  SimulatedWorker,
  World,
} from '../simulator/policy.ts';
import { InfaasAutoscaler } from './infaas/autoscaler.ts';
import { createEngines, type Engine } from './infaas/engines.ts';
import { InfaasFleet } from './infaas/fleet.ts';
import type { Replica } from './infaas/replica.ts';
import { MACHINE_PERIOD_MS } from './infaas/scale-machines.ts';
import { replicasFor } from './infaas/scale-models.ts';
import { remember, selectEngine } from './infaas/select.ts';

/** Milliseconds between two runs of the worker's monitors [C: qpsMonitor, AutoscalerArbiter]. */
const SECOND_MS = 1_000;
/** Milliseconds of the trace that it begins prepared for. */
const FIRST_MINUTE_MS = 60_000;

/** What a drop counts as, in multiples of the engine's latency: slow by any threshold of the blacklist. */
const DROPPED_MULTIPLE = 10;

/** How the released code may be made kinder. */
export interface InfaasOptions {
  /**
   * Whether workers drop requests whose deadline has passed (default false). The released code has neither a bound on its
   * queues nor a way to give up a request.
   */
  readonly dropsExpired?: boolean;
}

/**
 * INFaaS (Romero et al., USENIX ATC'21; arXiv 1905.13348) as released (stanford-mast/INFaaS @4c5ff7b): chooses for each
 * request the variant that is just fast enough, from a fitted line, without network, price or queue; replicates, upgrades
 * and shrinks variants every second; adds and removes machines every two. It has no browser tier. The parts are pure
 * functions beside this file; docs/baselines.md says what comes from the code and what was interpreted.
 */
class Infaas implements Policy {
  readonly name: string;
  readonly #dropsExpired: boolean;
  #engines: ReadonlyMap<string, readonly Engine[]> = new Map();
  #recent: readonly Engine[] = [];
  readonly #sent = new Map<number, { readonly replica: Replica; readonly worker: SimulatedWorker }>();
  readonly #fleet = new InfaasFleet();

  constructor({ dropsExpired = false }: InfaasOptions = {}) {
    this.name = dropsExpired ? 'infaas-dropping' : 'infaas';
    this.#dropsExpired = dropsExpired;
  }

  /** Begins as if it had scaled already, for the mean rate of the first minute. */
  start(world: World): void {
    const { scenario } = world;
    this.#engines = createEngines(scenario, world.profiles);
    const lengthMs = Math.min(FIRST_MINUTE_MS, scenario.durationMs);
    for (const task of scenario.tasks) {
      const early = task.arrivals.filter(({ arrivalMs }) => arrivalMs < lengthMs).length;
      this.#begin(task, (early * 1_000) / Math.max(1, lengthMs), world);
    }
    const autoscaler = new InfaasAutoscaler(this.#fleet, this.#engines);
    this.#every(SECOND_MS, world, () => autoscaler.closeSecond(world));
    this.#every(MACHINE_PERIOD_MS, world, () => autoscaler.scaleMachines(world));
  }

  arrive(request: SimulatedRequest, world: World): void {
    const wanted = {
      task: request.task,
      sloMs: request.deadlineMs - request.arrivalMs,
      minAccuracy: request.minAccuracy,
    };
    const engines = this.#engines.get(request.task) ?? [];
    const selection = selectEngine(wanted, engines, this.#recent, (engine) =>
      this.#fleet.stateOf(engine, world),
    );
    if (selection === undefined) {
      world.refuse(request);
      return;
    }
    const { engine, isPlaced } = selection;
    this.#recent = remember(this.#recent, engine);
    const running = this.#fleet.leastRequested(engine, world);
    const worker = isPlaced ? running : this.#fleet.placeAnew(engine, running, world);
    if (worker === undefined) {
      this.#fleet.asked.add(engine.deviceClass);
      world.refuse(request);
      return;
    }
    const replica = this.#fleet.dispatch(request, worker, engine, world);
    this.#sent.set(request.index, { replica, worker });
  }

  /** First come, first served: one input at a time on a CPU, what waits up to the engine's batch on a GPU. */
  formBatch(worker: SimulatedWorker, world: World): { run: number[]; drop: number[] } {
    const drop: number[] = [];
    const run: number[] = [];
    let first = '';
    let most = 1;
    for (let position = 0; position < worker.queue.length && run.length < most; position += 1) {
      const request = worker.queue[position];
      if (request === undefined) continue;
      if (this.#dropsExpired && request.deadlineMs <= world.nowMs) {
        drop.push(position);
        continue;
      }
      const name = replicaOf(request.task, worker.variantAt(position));
      if (run.length === 0) {
        // What is still being loaded waits, without holding up what is there.
        if (!worker.ready.has(name)) continue;
        first = name;
        most = this.#fleet.replicasAt(worker).get(name)?.engine.maxBatch ?? 1;
      } else if (name !== first) continue;
      run.push(position);
    }
    return { run, drop };
  }

  finished(request: SimulatedRequest, outcome: SimulatedOutcome, world: World): void {
    const sent = this.#sent.get(request.index);
    if (sent === undefined) return;
    this.#sent.delete(request.index);
    // The worker's own clock begins when the request reaches it; the network is not its business.
    // A drop ends early what would have been very late, which must not hide the overload from the blacklist.
    const isDropped = outcome.kind !== 'answered';
    const latencyMs = Math.max(0, outcome.latencyMs - this.#networkMs(request, world));
    sent.replica.ended(
      isDropped ? Math.max(latencyMs, DROPPED_MULTIPLE * sent.replica.engine.latencyMs) : latencyMs,
    );
    this.#fleet.utilisation.add(sent.worker, outcome.serviceMs / Math.max(1, outcome.batchSize));
    this.#fleet.unloadIfLeft(sent.worker, sent.replica, world);
  }

  /** Round trip, payload and answer: its model of a variant is slope × batch + intercept, without a network. */
  #networkMs({ task: name, caller }: SimulatedRequest, { scenario }: World): number {
    const task = scenario.tasks.find((entry) => entry.task === name);
    const bytes = (task?.payloadBytes ?? 0) + (task?.answerBytes ?? 0);
    return caller.rttMs + bytes / scenario.network.bytesPerMs;
  }

  /**
   * The engine that INFaaS would choose with nothing running, on as many workers as the rate asks for. Where these are not
   * there, the same network on a GPU, as the smallest engine that fits the SLO with the workers there are.
   */
  #begin(task: ScenarioTask, perSecond: number, world: World): void {
    const engines = this.#engines.get(task.task) ?? [];
    const chosen = selectEngine(task, engines, [], () => ({ isRunning: false, isBlacklisted: false }));
    if (chosen === undefined) return;
    const upgrades = engines.filter(
      (engine) => engine.isGpu && engine.variant === chosen.engine.variant && engine.latencyMs <= task.sloMs,
    );
    const candidates = [chosen.engine, ...upgrades];
    const enough = candidates.find((engine) => {
      const replicas = replicasFor(engine, perSecond);
      return replicas !== undefined && replicas <= this.#fleet.emptiest(engine, world).length;
    });
    const engine = enough ?? candidates.at(-1) ?? chosen.engine;
    const workers = this.#fleet.emptiest(engine, world);
    for (const worker of workers.slice(0, replicasFor(engine, perSecond) ?? workers.length)) {
      this.#fleet.load(worker, engine, world);
    }
  }

  /** Until the end of the scenario, so that a run ends. */
  #every(periodMs: number, world: World, act: () => void): void {
    const again = () => {
      act();
      if (world.nowMs + periodMs <= world.scenario.durationMs) world.at(world.nowMs + periodMs, again);
    };
    world.at(periodMs, again);
  }
}

/** INFaaS as released, as a factory. */
export const infaas: PolicyFactory = () => new Infaas();

/** INFaaS whose workers drop what is past its deadline, as a factory. */
export const infaasDropping: PolicyFactory = () => new Infaas({ dropsExpired: true });
