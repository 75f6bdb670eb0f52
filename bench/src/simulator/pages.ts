import { type Profile, replicaOf } from '../profile-table.ts';
import { BYTES_PER_GB, MS_PER_HOUR } from '../units.ts';
import { CallerActor, type RequestActor } from './actors.ts';
import type { Run } from './run.ts';

/** What callers' own devices fetch and run. */
export class Pages {
  readonly #run: Run;
  readonly #callers = new Map<number, CallerActor>();

  constructor(run: Run) {
    this.#run = run;
  }

  /** A caller by its number; the same one each time. */
  caller(index: number): CallerActor {
    let caller = this.#callers.get(index);
    if (caller === undefined) {
      caller = new CallerActor(this.#run.scenario, index, this.#run);
      this.#callers.set(index, caller);
    }
    return caller;
  }

  /** Puts a request behind what waits in its caller's device, and fetches the variant where it is not there. */
  run(request: RequestActor, variant: string): void {
    const { caller, task } = request;
    const { nowMs } = this.#run;
    const profile = this.#profile(caller, task, variant);
    request.state = 'waiting-in-browser';
    request.variant = variant;
    request.replica = replicaOf(task, variant);
    this.#fetch(caller, profile);
    caller.queue.push(request);
    const readyMs = caller.readyMs.get(request.replica) ?? nowMs;
    caller.predictedFreeMs = Math.max(nowMs, caller.predictedFreeMs, readyMs) + profile.service(1).meanMs;
    if (!caller.isBusy) this.#next(caller);
  }

  prepare(caller: CallerActor, task: string, variant: string): void {
    this.#fetch(caller, this.#profile(caller, task, variant));
  }

  #profile(caller: CallerActor, task: string, variant: string): Profile {
    const { deviceClass } = caller;
    const profile =
      deviceClass === undefined ? undefined : this.#run.profiles.find(task, variant, deviceClass);
    if (profile === undefined) {
      throw new Error(`Caller ${caller.index} (${deviceClass ?? 'no device'}) cannot run ${task}/${variant}`);
    }
    return profile;
  }

  #fetch(caller: CallerActor, profile: Profile): void {
    const replica = replicaOf(profile.task, profile.variant);
    if (caller.readyMs.has(replica)) return;
    const { ledger, nowMs } = this.#run;
    const { network, egressUsdPerGb } = this.#run.scenario;
    let downloadMs = 0;
    if (!caller.isCached) {
      downloadMs = caller.rttMs + profile.weightBytes / network.bytesPerMs;
      ledger.downloads += 1;
      ledger.other('egress', nowMs, (profile.weightBytes * egressUsdPerGb) / BYTES_PER_GB);
    }
    caller.readyMs.set(replica, nowMs + downloadMs + profile.loadMs);
  }

  #next(caller: CallerActor): void {
    const { nowMs, events } = this.#run;
    for (let request = caller.queue[0]; request !== undefined; request = caller.queue[0]) {
      const readyMs = caller.readyMs.get(request.replica) ?? nowMs;
      if (readyMs > nowMs) {
        // In order: what waits behind one that is being downloaded waits too.
        caller.isBusy = true;
        events.push(readyMs, () => {
          caller.isBusy = false;
          this.#next(caller);
        });
        return;
      }
      caller.queue.shift();
      if (request.deadlineMs > nowMs) {
        this.#execute(caller, request);
        return;
      }
      this.#run.end(request, 'dropped');
    }
  }

  #execute(caller: CallerActor, request: RequestActor): void {
    const { nowMs, ledger, machines, scenario } = this.#run;
    const profile = this.#profile(caller, request.task, request.variant);
    request.state = 'running';
    caller.isBusy = true;
    machines.compute('browser', profile.deviceClass, profile.timeMs(1, request.score), (serviceMs) => {
      ledger.other('energy', nowMs, (serviceMs * scenario.browsers.energyUsdPerHour) / MS_PER_HOUR);
      const by = { profile, batchSize: 1, serviceMs };
      // Before it is idle again: a large stage that runs here too waits behind the others.
      const goesOn = this.#run.escalate(request, by);
      caller.isBusy = false;
      if (!goesOn) this.#run.end(request, 'answered', by);
      this.#next(caller);
    });
  }
}
