import { type BatchPlan, formBatch } from '@nearfar/core';
import { type KnownService, type Profile, ProfileTable, replicaOf } from '../profile-table.ts';
import { createUniform, STREAMS } from '../random.ts';
import type { FleetClass, Scenario, ScenarioTask } from '../scenario/scenario.ts';
import { createWorkload, type Workload } from '../scenario/workload.ts';
import { CallerActor, RequestActor, WorkerActor } from './actors.ts';
import { BatchRules } from './batch-rules.ts';
import { EventQueue } from './event-queue.ts';
import { Ledger } from './ledger.ts';
import type {
  Policy,
  SimulatedCaller,
  SimulatedOutcome,
  SimulatedRequest,
  SimulatedWorker,
  World,
} from './policy.ts';
import { type SimulationResult, summarise } from './result.ts';

export interface SimulateOptions {
  /** Told every few thousand events which share of the simulated time is over. */
  readonly onProgress?: (share: number) => void;
  /** Drawn from the scenario when absent; several runs of one scenario may share it. */
  readonly workload?: Workload;
}

/** Events between two calls of `onProgress`. */
const PROGRESS_EVERY = 8_192;
/** A run that goes on this long after its last deadline has a policy that leaves requests lying. */
const GIVE_UP_AFTER_MS = 3_600_000;
const BYTES_PER_GB = 1_000_000_000;

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
  return new Simulation(scenario, policy, options.workload ?? createWorkload(scenario)).run(
    options.onProgress,
  );
}

class Simulation implements World {
  readonly scenario: Scenario;
  readonly profiles: ProfileTable;
  readonly random: () => number;
  readonly workers: WorkerActor[] = [];
  nowMs = 0;
  readonly #policy: Policy;
  readonly #workload: Workload;
  readonly #events = new EventQueue();
  readonly #rules: BatchRules;
  readonly #ledger: Ledger;
  readonly #callers = new Map<number, CallerActor>();
  /** Workers of each class that have not left, those that are starting included. */
  readonly #staff = new Map<FleetClass, number>();
  /** Workers that were started and have not left. */
  readonly #paid = new Set<WorkerActor>();
  #hired = 0;
  #ended = 0;
  #isStarting = true;
  #lastEndMs = 0;

  constructor(scenario: Scenario, policy: Policy, workload: Workload) {
    this.scenario = scenario;
    this.profiles = new ProfileTable(scenario.profiles);
    this.random = createUniform(scenario.seed, STREAMS.policy);
    this.#policy = policy;
    this.#rules = new BatchRules(this.profiles);
    this.#workload = workload;
    this.#ledger = new Ledger(scenario, workload.requests);
  }

  run(onProgress: SimulateOptions['onProgress']): SimulationResult {
    const { requests, arrivalMs } = this.#workload;
    for (const spec of this.scenario.fleet) {
      for (let index = 0; index < spec.count; index += 1) this.#hire(spec);
    }
    this.#policy.start(this);
    this.#isStarting = false;
    this.#schedulePlan();
    const endMs = (arrivalMs[requests - 1] ?? 0) + this.#longestSloMs();
    let next = 0;
    let events = 0;
    while (this.#ended < requests) {
      const arrivesMs = next < requests ? (arrivalMs[next] as number) : Number.POSITIVE_INFINITY;
      const eventMs = this.#events.nextMs;
      if (Math.min(arrivesMs, eventMs) > endMs + GIVE_UP_AFTER_MS) {
        throw new Error(`Policy ${this.#policy.name} left ${requests - this.#ended} requests undecided`);
      }
      if (eventMs <= arrivesMs) {
        this.nowMs = eventMs;
        this.#events.pop()();
      } else {
        this.nowMs = arrivesMs;
        this.#arrive(next);
        next += 1;
      }
      events += 1;
      if (events % PROGRESS_EVERY === 0) onProgress?.(Math.min(1, this.nowMs / endMs));
    }
    const runMs = Math.max(this.scenario.durationMs, this.#lastEndMs);
    for (const worker of this.#paid) this.#ledger.provisioned(worker, runMs);
    onProgress?.(1);
    return summarise(this.#policy.name, this.scenario, this.#ledger, this.#workload.callers);
  }

  service(task: string, variant: string, deviceClass: string, batch: number): KnownService | undefined {
    const profile = this.profiles.find(task, variant, deviceClass);
    return profile === undefined || batch > profile.maxBatch ? undefined : profile.service(batch);
  }

  maxBatch(task: string, variant: string, deviceClass: string): number {
    return this.profiles.find(task, variant, deviceClass)?.maxBatch ?? 0;
  }

  dispatch(given: SimulatedRequest, to: SimulatedWorker, variant: string): void {
    const request = this.#undecided(given);
    const worker = to as WorkerActor;
    const replica = replicaOf(request.task, variant);
    const isThere = worker.ready.has(replica) || worker.loading.has(replica);
    if (!worker.hasJoined || worker.hasLeft || worker.isDraining || !isThere || worker.leaving.has(replica)) {
      throw new Error(`Worker ${worker.id} does not take requests for ${replica} at ${this.nowMs} ms`);
    }
    const { rttMs } = request.caller;
    const { payloadBytes, answerBytes } = request.spec;
    const { bytesPerMs } = this.scenario.network;
    request.state = 'in-transit';
    request.worker = worker;
    request.variant = variant;
    request.replica = replica;
    request.deadlineAt = request.deadlineMs - rttMs / 2 - answerBytes / bytesPerMs;
    request.trips += 1;
    const trip = request.trips;
    request.predictedMs = this.service(request.task, variant, worker.deviceClass, 1)?.meanMs ?? 0;
    worker.inTransit += 1;
    worker.backlogMs += request.predictedMs;
    worker.count(replica, 1);
    this.#ledger.other('request', this.nowMs, this.scenario.requestUsdPerMillion / 1e6);
    this.#events.push(this.nowMs + rttMs / 2 + payloadBytes / bytesPerMs, () => {
      this.#reach(request, worker, trip);
    });
  }

  runInBrowser(given: SimulatedRequest, variant: string): void {
    const request = this.#undecided(given);
    const { caller, task } = request;
    const profile = this.#browserProfile(caller, task, variant);
    request.state = 'waiting-in-browser';
    request.variant = variant;
    request.replica = replicaOf(task, variant);
    this.#fetch(caller, profile);
    caller.queue.push(request);
    const readyMs = caller.readyMs.get(request.replica) ?? this.nowMs;
    caller.predictedFreeMs =
      Math.max(this.nowMs, caller.predictedFreeMs, readyMs) + profile.service(1).meanMs;
    if (!caller.isBusy) this.#startInBrowser(caller);
  }

  prepare(given: SimulatedCaller, task: string, variant: string): void {
    const caller = given as CallerActor;
    this.#fetch(caller, this.#browserProfile(caller, task, variant));
  }

  refuse(given: SimulatedRequest): void {
    this.#end(this.#undecided(given), 'refused');
  }

  withdraw(given: SimulatedRequest): boolean {
    const request = given as RequestActor;
    const { state, worker, caller } = request;
    if (state === 'waiting' && worker !== undefined) {
      worker.queue.splice(worker.queue.indexOf(request), 1);
    } else if (state === 'waiting-in-browser') caller.queue.splice(caller.queue.indexOf(request), 1);
    else if (state !== 'in-transit') return state === 'undecided';
    if (worker !== undefined) {
      worker.backlogMs -= request.predictedMs;
      worker.count(request.replica, -1);
      this.#tidy(worker);
    }
    // One that is under way leaves its worker's count when it would have arrived.
    request.state = 'undecided';
    request.worker = undefined;
    return true;
  }

  load(to: SimulatedWorker, task: string, variant: string): void {
    const worker = to as WorkerActor;
    const replica = replicaOf(task, variant);
    const profile = this.profiles.find(task, variant, worker.deviceClass);
    if (profile === undefined) throw new Error(`No profile of ${replica} on ${worker.deviceClass}`);
    if (worker.hasLeft) throw new Error(`Worker ${worker.id} has left`);
    if (worker.leaving.delete(replica)) return;
    if (worker.ready.has(replica) || worker.loading.has(replica)) return;
    if (worker.memoryBytes + profile.memoryBytes > worker.spec.memoryBytes) {
      throw new Error(`Worker ${worker.id} has no room for ${replica}`);
    }
    worker.held.set(replica, profile);
    if (this.#isStarting) {
      worker.ready.add(replica);
      return;
    }
    const fromMs = Math.max(this.nowMs, worker.loadsUntilMs);
    const readyMs = fromMs + profile.loadMs;
    worker.loadsUntilMs = readyMs;
    worker.loading.set(replica, readyMs);
    this.#ledger.load(worker, fromMs, profile.loadMs);
    this.#events.push(readyMs, () => {
      worker.loading.delete(replica);
      worker.ready.add(replica);
      this.#tidy(worker);
      this.wake(worker);
    });
  }

  unload(from: SimulatedWorker, task: string, variant: string): void {
    const worker = from as WorkerActor;
    const replica = replicaOf(task, variant);
    if (!worker.ready.has(replica) && !worker.loading.has(replica)) return;
    worker.leaving.add(replica);
    this.#tidy(worker);
  }

  startWorker(deviceClass: string): WorkerActor | undefined {
    const spec = this.scenario.fleet.find(
      (entry) => entry.deviceClass === deviceClass && (this.#staff.get(entry) ?? 0) < entry.max,
    );
    return spec === undefined ? undefined : this.#hire(spec);
  }

  stopWorker(given: SimulatedWorker): void {
    const worker = given as WorkerActor;
    const staff = this.#staff.get(worker.spec) ?? 0;
    if (worker.isDraining || worker.hasLeft || staff <= worker.spec.min) return;
    this.#staff.set(worker.spec, staff - 1);
    worker.isDraining = true;
    this.#tidy(worker);
  }

  at(timeMs: number, wake: () => void): void {
    if (!(timeMs >= this.nowMs)) throw new RangeError(`Expected a time from ${this.nowMs} ms, got ${timeMs}`);
    this.#events.push(timeMs, wake);
  }

  wake(given: SimulatedWorker): void {
    const worker = given as WorkerActor;
    if (worker.isBusy || worker.queue.length === 0) return;
    const plan: BatchPlan & { readonly variant?: string } =
      this.#policy.formBatch?.(worker, this) ?? this.#defaultBatch(worker);
    const { queue } = worker;
    const batch = plan.run.map((position) => queue[position] as RequestActor);
    const dropped = plan.drop.map((position) => queue[position] as RequestActor);
    for (const request of batch) {
      request.state = 'running';
      worker.backlogMs -= request.predictedMs;
    }
    for (const request of dropped) {
      request.state = 'ended';
      worker.backlogMs -= request.predictedMs;
      worker.count(request.replica, -1);
    }
    if (batch.length + dropped.length > 0) {
      let kept = 0;
      for (const request of queue) {
        if (request.state === 'waiting') {
          queue[kept] = request;
          kept += 1;
        }
      }
      queue.length = kept;
      // So that the rounding of sums does not add up over a run.
      if (kept === 0 && worker.inTransit === 0) worker.backlogMs = 0;
    }
    for (const request of dropped) this.#end(request, 'dropped');
    const variant = plan.variant ?? batch[0]?.variant;
    if (batch.length > 0 && variant !== undefined) this.#startBatch(worker, batch, variant);
    else this.#tidy(worker);
  }

  #startBatch(worker: WorkerActor, batch: readonly RequestActor[], variant: string): void {
    const [{ task }] = batch as [RequestActor];
    const replica = replicaOf(task, variant);
    const profile = this.profiles.find(task, variant, worker.deviceClass);
    const isMixed = batch.some(
      (request) =>
        request.task !== task || (request.variant !== variant && request.variant !== batch[0]?.variant),
    );
    if (profile === undefined || isMixed || !worker.ready.has(replica)) {
      throw new Error(`Worker ${worker.id} cannot run this batch of ${batch.length} as ${replica}`);
    }
    const { length: size } = batch;
    let score = 0;
    for (const request of batch) score += request.score;
    const serviceMs = profile.timeMs(size, score / Math.sqrt(size));
    worker.isBusy = true;
    worker.runningReplica = replica;
    worker.predictedFreeMs = this.nowMs + profile.service(size).meanMs;
    this.#ledger.busy(worker, this.nowMs, serviceMs);
    this.#ledger.batches += 1;
    this.#ledger.batchedRequests += size;
    this.#events.push(this.nowMs + serviceMs, () => {
      worker.isBusy = false;
      worker.runningReplica = '';
      for (const request of batch) worker.count(request.replica, -1);
      for (const request of batch) this.#answer(request, worker, profile, size, serviceMs);
      this.#tidy(worker);
      this.wake(worker);
    });
  }

  /** The answer's way back takes as long as half of the round trip and its bytes need. */
  #answer(
    request: RequestActor,
    worker: WorkerActor,
    profile: Profile,
    batchSize: number,
    serviceMs: number,
  ): void {
    const { answerBytes } = request.spec;
    const { network, egressUsdPerGb } = this.scenario;
    this.#ledger.other('egress', this.nowMs, (answerBytes * egressUsdPerGb) / BYTES_PER_GB);
    const wayMs = request.caller.rttMs / 2 + answerBytes / network.bytesPerMs;
    const end = () => this.#end(request, 'answered', { worker, profile, batchSize, serviceMs });
    if (wayMs > 0) this.#events.push(this.nowMs + wayMs, end);
    else end();
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
      this.#caller(caller[index] as number),
    );
    this.#ledger.arrived(request);
    this.#policy.arrive(request, this);
  }

  #reach(request: RequestActor, worker: WorkerActor, trip: number): void {
    worker.inTransit -= 1;
    // Withdrawn on its way, and perhaps sent elsewhere since.
    if (request.state === 'in-transit' && request.trips === trip) {
      request.state = 'waiting';
      worker.queue.push(request);
      this.wake(worker);
    } else this.#tidy(worker);
  }

  #defaultBatch(worker: WorkerActor): BatchPlan {
    const { queue, deviceClass } = worker;
    if (worker.loading.size === 0) return formBatch(queue, this.nowMs, this.#rules.of(deviceClass));
    const positions = [...queue.keys()].filter((index) =>
      worker.ready.has((queue[index] as RequestActor).replica),
    );
    const present = positions.map((index) => queue[index] as RequestActor);
    const { run, drop } = formBatch(present, this.nowMs, this.#rules.of(deviceClass));
    const original = (position: number) => positions[position] as number;
    return { run: run.map(original), drop: drop.map(original) };
  }

  #browserProfile(caller: CallerActor, task: string, variant: string): Profile {
    const { deviceClass } = caller;
    const profile = deviceClass === undefined ? undefined : this.profiles.find(task, variant, deviceClass);
    if (profile === undefined) {
      throw new Error(`Caller ${caller.index} (${deviceClass ?? 'no device'}) cannot run ${task}/${variant}`);
    }
    return profile;
  }

  #fetch(caller: CallerActor, profile: Profile): void {
    const replica = replicaOf(profile.task, profile.variant);
    if (caller.readyMs.has(replica)) return;
    const { network, egressUsdPerGb } = this.scenario;
    let downloadMs = 0;
    if (!caller.isCached) {
      downloadMs = caller.rttMs + profile.weightBytes / network.bytesPerMs;
      this.#ledger.downloads += 1;
      this.#ledger.other('egress', this.nowMs, (profile.weightBytes * egressUsdPerGb) / BYTES_PER_GB);
    }
    caller.readyMs.set(replica, this.nowMs + downloadMs + profile.loadMs);
  }

  #startInBrowser(caller: CallerActor): void {
    for (let request = caller.queue[0]; request !== undefined; request = caller.queue[0]) {
      const readyMs = caller.readyMs.get(request.replica) ?? this.nowMs;
      if (readyMs > this.nowMs) {
        // In order: what waits behind one that is being downloaded waits too.
        caller.isBusy = true;
        this.#events.push(readyMs, () => {
          caller.isBusy = false;
          this.#startInBrowser(caller);
        });
        return;
      }
      caller.queue.shift();
      if (request.deadlineMs > this.nowMs) {
        this.#runInBrowser(caller, request);
        return;
      }
      this.#end(request, 'dropped');
    }
  }

  #runInBrowser(caller: CallerActor, request: RequestActor): void {
    const profile = this.#browserProfile(caller, request.task, request.variant);
    const serviceMs = profile.timeMs(1, request.score);
    request.state = 'running';
    caller.isBusy = true;
    const { energyUsdPerHour } = this.scenario.browsers;
    this.#ledger.other('energy', this.nowMs, (serviceMs * energyUsdPerHour) / 3_600_000);
    this.#events.push(this.nowMs + serviceMs, () => {
      caller.isBusy = false;
      this.#end(request, 'answered', { profile, batchSize: 1, serviceMs });
      this.#startInBrowser(caller);
    });
  }

  #end(
    request: RequestActor,
    kind: SimulatedOutcome['kind'],
    by?: {
      readonly worker?: WorkerActor;
      readonly profile: Profile;
      readonly batchSize: number;
      readonly serviceMs: number;
    },
  ): void {
    request.state = 'ended';
    this.#ended += 1;
    this.#lastEndMs = this.nowMs;
    const outcome: SimulatedOutcome = {
      kind,
      tier: by === undefined ? request.worker?.tier : (by.worker?.tier ?? 'browser'),
      variant: by?.profile.variant ?? (request.variant === '' ? undefined : request.variant),
      deviceClass: by?.profile.deviceClass ?? request.worker?.deviceClass,
      latencyMs: this.nowMs - request.arrivalMs,
      batchSize: by?.batchSize ?? 0,
      serviceMs: by?.serviceMs ?? 0,
      isOnTime: kind === 'answered' && this.nowMs <= request.deadlineMs,
    };
    this.#ledger.ended(request, outcome, by?.profile.accuracy ?? 0);
    this.#policy.finished?.(request, outcome, this);
  }

  #hire(spec: FleetClass): WorkerActor {
    const worker = new WorkerActor(`${spec.tier}-${spec.deviceClass}-${this.#hired}`, spec, this.nowMs);
    this.#hired += 1;
    this.#paid.add(worker);
    this.#staff.set(spec, (this.#staff.get(spec) ?? 0) + 1);
    const join = () => {
      worker.hasJoined = true;
      this.workers.push(worker);
      this.#tidy(worker);
    };
    if (this.#isStarting) join();
    else {
      worker.loadsUntilMs = this.nowMs + spec.startupMs;
      this.#events.push(worker.loadsUntilMs, join);
    }
    return worker;
  }

  /** Lets go what nothing waits for any more: variants that are to leave, and the worker itself when it drains. */
  #tidy(worker: WorkerActor): void {
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
    this.#ledger.provisioned(worker, this.nowMs);
  }

  #caller(index: number): CallerActor {
    let caller = this.#callers.get(index);
    if (caller === undefined) {
      caller = new CallerActor(this.scenario, index, this);
      this.#callers.set(index, caller);
    }
    return caller;
  }

  #schedulePlan(): void {
    if (this.#policy.plan === undefined) return;
    this.#events.push(this.nowMs + this.scenario.planEverySeconds * 1_000, () => {
      this.#policy.plan?.(this);
      this.#schedulePlan();
    });
  }

  #longestSloMs(): number {
    let longest = 0;
    const { arrivalMs, deadlineMs } = this.#workload;
    for (let index = 0; index < arrivalMs.length; index += 1) {
      longest = Math.max(longest, (deadlineMs[index] as number) - (arrivalMs[index] as number));
    }
    return longest;
  }

  #undecided(given: SimulatedRequest): RequestActor {
    const request = given as RequestActor;
    if (request.state !== 'undecided') {
      throw new Error(`Request ${request.index} was decided already: it is ${request.state}`);
    }
    return request;
  }
}
