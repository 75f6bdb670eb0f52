import { type BatchPlan, formBatch } from '@nearfar/core';
import { type Profile, replicaOf } from '../profile-table.ts';
import { BYTES_PER_GB } from '../units.ts';
import type { RequestActor, WorkerActor } from './actors.ts';
import { BatchRules } from './batch-rules.ts';
import type { Fleet } from './fleet.ts';
import type { Run } from './run.ts';

/** What a policy has an idle worker run next; `variant` as `Policy.formBatch` says. */
type ChosenBatch = BatchPlan & { readonly variant?: string };

/** Chooses what an idle worker runs next; undefined = as the batch rule of core has it. */
export type BatchChooser = (worker: WorkerActor) => ChosenBatch | undefined;

/** The way of requests to workers, through their queues and batches, and back. */
export class Serving {
  readonly #run: Run;
  readonly #fleet: Fleet;
  readonly #choose: BatchChooser;
  readonly #rules: BatchRules;

  constructor(run: Run, fleet: Fleet, choose: BatchChooser) {
    this.#run = run;
    this.#fleet = fleet;
    this.#choose = choose;
    this.#rules = new BatchRules(run.profiles);
  }

  /** Sends a request on its way to a worker that holds the variant or loads it. */
  dispatch(request: RequestActor, worker: WorkerActor, variant: string): void {
    const { nowMs, profiles, ledger, events, scenario } = this.#run;
    const replica = replicaOf(request.task, variant);
    const isThere = worker.ready.has(replica) || worker.loading.has(replica);
    if (!worker.hasJoined || worker.hasLeft || worker.isDraining || !isThere || worker.leaving.has(replica)) {
      throw new Error(`Worker ${worker.id} does not take requests for ${replica} at ${nowMs} ms`);
    }
    const { rttMs } = request.caller;
    const { payloadBytes, answerBytes } = request.spec;
    const { bytesPerMs } = scenario.network;
    request.state = 'in-transit';
    request.worker = worker;
    request.variant = variant;
    request.replica = replica;
    request.deadlineAt = request.deadlineMs - rttMs / 2 - answerBytes / bytesPerMs;
    const isThereAlready = request.escalatedAt === 'mesh';
    request.predictedMs = profiles.find(request.task, variant, worker.deviceClass)?.service(1).meanMs ?? 0;
    worker.inTransit += 1;
    worker.backlogMs += request.predictedMs;
    worker.count(replica, 1);
    if (!isThereAlready) ledger.other('request', nowMs, scenario.requestUsdPerMillion / 1e6);
    const wayMs = isThereAlready ? 0 : rttMs / 2 + payloadBytes / bytesPerMs;
    events.push(nowMs + wayMs, () => this.#reach(request, worker));
  }

  /** Asks an idle worker for a batch. */
  wake(worker: WorkerActor): void {
    if (worker.isBusy || worker.queue.length === 0) return;
    const plan: ChosenBatch = this.#choose(worker) ?? this.#defaultBatch(worker);
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
    for (const request of dropped) this.#run.end(request, 'dropped');
    const variant = plan.variant ?? batch[0]?.variant;
    if (batch.length > 0 && variant !== undefined) this.#startBatch(worker, batch, variant);
    else this.#fleet.tidy(worker);
  }

  #reach(request: RequestActor, worker: WorkerActor): void {
    worker.inTransit -= 1;
    request.state = 'waiting';
    worker.queue.push(request);
    this.wake(worker);
  }

  #defaultBatch({ queue, deviceClass, loading, ready }: WorkerActor): BatchPlan {
    const { nowMs } = this.#run;
    const rule = this.#rules.of(deviceClass);
    if (loading.size === 0) return formBatch(queue, nowMs, rule);
    const positions = [...queue.keys()].filter((index) => ready.has((queue[index] as RequestActor).replica));
    const present = positions.map((index) => queue[index] as RequestActor);
    const { run, drop } = formBatch(present, nowMs, rule);
    const original = (position: number) => positions[position] as number;
    return { run: run.map(original), drop: drop.map(original) };
  }

  #startBatch(worker: WorkerActor, batch: readonly RequestActor[], variant: string): void {
    const { nowMs, profiles, ledger, machines } = this.#run;
    const [{ task }] = batch as [RequestActor];
    const replica = replicaOf(task, variant);
    const profile = profiles.find(task, variant, worker.deviceClass);
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
    const aloneMs = profile.timeMs(size, score / Math.sqrt(size));
    worker.isBusy = true;
    worker.runningReplica = replica;
    worker.predictedFreeMs = nowMs + profile.service(size).meanMs;
    ledger.batches += 1;
    ledger.batchedRequests += size;
    machines.compute(worker.tier, worker.deviceClass, aloneMs, (serviceMs) => {
      ledger.busy(worker, nowMs, serviceMs);
      worker.isBusy = false;
      worker.runningReplica = '';
      for (const request of batch) worker.count(request.replica, -1);
      for (const request of batch) this.#answer(request, worker, profile, size, serviceMs);
      this.#fleet.tidy(worker);
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
    const { nowMs, ledger, events } = this.#run;
    const by = { worker, profile, batchSize, serviceMs };
    if (this.#run.escalate(request, by)) return;
    const { answerBytes } = request.spec;
    const { network, egressUsdPerGb } = this.#run.scenario;
    ledger.other('egress', nowMs, (answerBytes * egressUsdPerGb) / BYTES_PER_GB);
    const wayMs = request.caller.rttMs / 2 + answerBytes / network.bytesPerMs;
    const end = () => this.#run.end(request, 'answered', by);
    if (wayMs > 0) events.push(nowMs + wayMs, end);
    else end();
  }
}
