import { type KnownService, ProfileTable } from '../profile-table.ts';
import { createUniform, STREAMS } from '../random.ts';
import type { Scenario, ScenarioCascade, ScenarioTask } from '../scenario/scenario.ts';
import { createWorkload, isEscalated, type Workload } from '../scenario/workload.ts';
import { type CallerActor, RequestActor, type WorkerActor } from './actors.ts';
import { EventQueue } from './event-queue.ts';
import { Fleet } from './fleet.ts';
import { Ledger } from './ledger.ts';
import { Machines } from './machines.ts';
import { Pages } from './pages.ts';
import type {
  Policy,
  SimulatedCaller,
  SimulatedOutcome,
  SimulatedRequest,
  SimulatedStage,
  SimulatedWorker,
  World,
} from './policy.ts';
import { type SimulationResult, summarise } from './result.ts';
import type { AnsweredBy, Run } from './run.ts';
import { Serving } from './serving.ts';

export interface SimulateOptions {
  /** Told every few thousand events which share of the simulated time is over. */
  readonly onProgress?: (share: number) => void;
  /** Drawn from the scenario when absent; several runs of one scenario may share it. */
  readonly workload?: Workload;
  /** Told of each request as it ends. */
  readonly onEnded?: (request: SimulatedRequest, outcome: SimulatedOutcome) => void;
  /** Told of each small stage of a cascade that was not sure, before the policy is asked for the large one. */
  readonly onEscalated?: (request: SimulatedRequest, stage: SimulatedStage) => void;
}

type Listeners = Pick<SimulateOptions, 'onEnded' | 'onEscalated'>;

/** Events between two calls of `onProgress`. */
const PROGRESS_EVERY = 8_192;
/** A run that goes on this long after its last deadline has a policy that leaves requests lying. */
const GIVE_UP_AFTER_MS = 3_600_000;

/**
 * Runs a scenario under a policy.
 *
 * Time moves from event to event; what happens at the same time happens in the order in which it was arranged, arrivals
 * last. Nothing but the scenario's seed decides by chance, so the same scenario and policy give the same result.
 *
 * @throws Error when the policy does what a real mesh could not, or leaves a request undecided.
 */
export function simulate(
  scenario: Scenario,
  policy: Policy,
  options: SimulateOptions = {},
): SimulationResult {
  const { workload = createWorkload(scenario), onProgress, ...listeners } = options;
  return new Simulation(scenario, policy, workload, listeners).run(onProgress);
}

/** The world of a policy: its clock, and the door to fleet, serving and pages. */
class Simulation implements World, Run {
  readonly scenario: Scenario;
  readonly profiles: ProfileTable;
  readonly random: () => number;
  readonly events = new EventQueue();
  readonly machines: Machines;
  readonly ledger: Ledger;
  nowMs = 0;
  isStarting = true;
  readonly #policy: Policy;
  readonly #workload: Workload;
  readonly #listeners: Listeners;
  readonly #fleet: Fleet;
  readonly #serving: Serving;
  readonly #pages: Pages;
  #ended = 0;
  #lastEndMs = 0;

  constructor(scenario: Scenario, policy: Policy, workload: Workload, listeners: Listeners) {
    this.scenario = scenario;
    this.profiles = new ProfileTable(scenario.profiles);
    this.random = createUniform(scenario.seed, STREAMS.policy);
    this.#policy = policy;
    this.#workload = workload;
    this.#listeners = listeners;
    this.ledger = new Ledger(scenario, workload.requests);
    this.machines = new Machines(this);
    this.#fleet = new Fleet(this, (worker) => this.#serving.wake(worker));
    this.#serving = new Serving(this, this.#fleet, (worker) => policy.formBatch?.(worker, this));
    this.#pages = new Pages(this);
  }

  run(onProgress: SimulateOptions['onProgress']): SimulationResult {
    const { requests, arrivalMs } = this.#workload;
    for (const spec of this.scenario.fleet) {
      for (let index = 0; index < spec.count; index += 1) this.#fleet.hire(spec);
    }
    this.#policy.start(this);
    this.isStarting = false;
    const endMs = (arrivalMs[requests - 1] ?? 0) + this.#longestSloMs();
    let next = 0;
    let events = 0;
    while (this.#ended < requests) {
      const arrivesMs = next < requests ? (arrivalMs[next] as number) : Number.POSITIVE_INFINITY;
      const eventMs = this.events.nextMs;
      if (Math.min(arrivesMs, eventMs) > endMs + GIVE_UP_AFTER_MS) {
        throw new Error(`Policy ${this.#policy.name} left ${requests - this.#ended} requests undecided`);
      }
      if (eventMs <= arrivesMs) {
        this.nowMs = eventMs;
        this.events.pop()();
      } else {
        this.nowMs = arrivesMs;
        this.#arrive(next);
        next += 1;
      }
      events += 1;
      if (events % PROGRESS_EVERY === 0) onProgress?.(Math.min(1, this.nowMs / endMs));
    }
    this.#fleet.close(Math.max(this.scenario.durationMs, this.#lastEndMs));
    onProgress?.(1);
    return summarise(this.#policy.name, this.scenario, this.ledger, this.#workload.callers);
  }

  get workers(): readonly WorkerActor[] {
    return this.#fleet.workers;
  }

  service(task: string, variant: string, deviceClass: string, batch: number): KnownService | undefined {
    const profile = this.profiles.find(task, variant, deviceClass);
    return profile === undefined || batch > profile.maxBatch ? undefined : profile.service(batch);
  }

  maxBatch(task: string, variant: string, deviceClass: string): number {
    return this.profiles.find(task, variant, deviceClass)?.maxBatch ?? 0;
  }

  dispatch(
    request: SimulatedRequest,
    worker: SimulatedWorker,
    variant: string,
    cascade?: ScenarioCascade,
  ): void {
    this.#serving.dispatch(this.#begun(request, variant, cascade), worker as WorkerActor, variant);
  }

  runInBrowser(given: SimulatedRequest, variant: string, cascade?: ScenarioCascade): void {
    const request = this.#begun(given, variant, cascade);
    if (request.escalatedAt === 'mesh') {
      throw new Error(`Request ${request.index} is in the mesh, which cannot ask its caller's device`);
    }
    this.#pages.run(request, variant);
  }

  prepare(caller: SimulatedCaller, task: string, variant: string): void {
    this.#pages.prepare(caller as CallerActor, task, variant);
  }

  refuse(request: SimulatedRequest): void {
    this.end(this.#undecided(request), 'refused');
  }

  load(worker: SimulatedWorker, task: string, variant: string): void {
    this.#fleet.load(worker as WorkerActor, task, variant);
  }

  unload(worker: SimulatedWorker, task: string, variant: string): void {
    this.#fleet.unload(worker as WorkerActor, task, variant);
  }

  startWorker(deviceClass: string): WorkerActor | undefined {
    return this.#fleet.start(deviceClass);
  }

  stopWorker(worker: SimulatedWorker): void {
    this.#fleet.stop(worker as WorkerActor);
  }

  at(timeMs: number, wake: () => void): void {
    if (!(timeMs >= this.nowMs)) throw new RangeError(`Expected a time from ${this.nowMs} ms, got ${timeMs}`);
    this.events.push(timeMs, wake);
  }

  wake(worker: SimulatedWorker): void {
    this.#serving.wake(worker as WorkerActor);
  }

  escalate(request: RequestActor, { worker, profile, batchSize, serviceMs }: AnsweredBy): boolean {
    const { cascade, index } = request;
    if (cascade === undefined || request.escalatedAt !== undefined) return false;
    if (!isEscalated(this.scenario.seed, index, cascade)) return false;
    request.state = 'undecided';
    request.escalatedAt = worker === undefined ? 'page' : 'mesh';
    request.worker = undefined;
    const { variant, deviceClass } = profile;
    const elapsedMs = this.nowMs - request.arrivalMs;
    const stage = { worker, variant, deviceClass, elapsedMs, batchSize, serviceMs };
    this.#listeners.onEscalated?.(request, stage);
    this.#policy.escalated?.(request, stage, this);
    return true;
  }

  end(request: RequestActor, kind: SimulatedOutcome['kind'], by?: AnsweredBy): void {
    request.state = 'ended';
    this.#ended += 1;
    this.#lastEndMs = this.nowMs;
    const outcome: SimulatedOutcome = {
      kind,
      tier: by === undefined ? request.worker?.tier : (by.worker?.tier ?? 'browser'),
      variant:
        request.cascade?.variant ??
        by?.profile.variant ??
        (request.variant === '' ? undefined : request.variant),
      deviceClass: by?.profile.deviceClass ?? request.worker?.deviceClass,
      latencyMs: this.nowMs - request.arrivalMs,
      batchSize: by?.batchSize ?? 0,
      serviceMs: by?.serviceMs ?? 0,
      isOnTime: kind === 'answered' && this.nowMs <= request.deadlineMs,
    };
    const accuracy = request.cascade?.accuracy ?? by?.profile.accuracy ?? 0;
    if (kind === 'answered' && accuracy < request.minAccuracy) {
      throw new Error(
        `Request ${request.index} asks for an accuracy of ${request.minAccuracy}, ${outcome.variant} has ${accuracy}`,
      );
    }
    this.ledger.ended(request, outcome, accuracy);
    this.#listeners.onEnded?.(request, outcome);
    this.#policy.finished?.(request, outcome, this);
  }

  #arrive(index: number): void {
    const { taskIndex, arrivalMs, deadlineMs, caller, score } = this.#workload;
    const task = taskIndex[index] as number;
    const request = new RequestActor(
      index,
      { taskIndex: task, spec: this.scenario.tasks[task] as ScenarioTask },
      {
        arrivalMs: arrivalMs[index] as number,
        deadlineMs: deadlineMs[index] as number,
        score: score[index] as number,
      },
      this.#pages.caller(caller[index] as number),
    );
    this.ledger.arrived(request);
    this.#policy.arrive(request, this);
  }

  #longestSloMs(): number {
    let longest = 0;
    const { arrivalMs, deadlineMs } = this.#workload;
    for (let index = 0; index < arrivalMs.length; index += 1) {
      longest = Math.max(longest, (deadlineMs[index] as number) - (arrivalMs[index] as number));
    }
    return longest;
  }

  /** A request that is about to run a variant, as a stage of a cascade or by itself. */
  #begun(given: SimulatedRequest, variant: string, cascade: ScenarioCascade | undefined): RequestActor {
    const request = this.#undecided(given);
    if (request.escalatedAt === undefined) {
      if (cascade !== undefined && (cascade.small !== variant || !request.spec.cascades?.includes(cascade))) {
        throw new Error(`${variant} is no small stage of a cascade of ${request.task}`);
      }
      request.cascade = cascade;
    } else if (request.cascade?.large !== variant) {
      throw new Error(`Request ${request.index} goes on to ${request.cascade?.large}, not to ${variant}`);
    }
    return request;
  }

  #undecided(given: SimulatedRequest): RequestActor {
    const request = given as RequestActor;
    if (request.state !== 'undecided') {
      throw new Error(`Request ${request.index} was decided already: it is ${request.state}`);
    }
    return request;
  }
}
