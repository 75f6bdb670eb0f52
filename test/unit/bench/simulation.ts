import type { FleetClass, ProfileRow, Scenario, ScenarioTask } from '../../../bench/src/scenario/scenario.ts';
import type { Policy, World } from '../../../bench/src/simulator/policy.ts';
import * as build from './scenario-builders.ts';

/*
 * Simulations small enough to be worked out by hand: 10 ms an input without noise, on a worker of 3.6 dollars an hour, so that a
 * millisecond costs a microdollar.
 */

export function profileRow(over: Partial<ProfileRow> = {}): ProfileRow {
  return build.row({ task: 'digits', p50Ms: 10, ...over });
}

export function fleetClass(over: Partial<FleetClass> = {}): FleetClass {
  return build.fleetClass({ usdPerHour: 3.6, ...over });
}

/** A task with requests at these milliseconds. */
export function scenarioTask({
  at = [0],
  ...over
}: Partial<ScenarioTask> & { readonly at?: readonly number[] } = {}): ScenarioTask {
  return build.task({
    task: 'digits',
    sloMs: 100,
    arrivals: at.map((arrivalMs) => ({ arrivalMs })),
    ...over,
  });
}

/** One task, one worker, no network, a second long. */
export function scenario(over: Partial<Scenario> = {}): Scenario {
  return build.scenario({
    durationMs: 1_000,
    windowSeconds: 1,
    tasks: [scenarioTask()],
    profiles: [profileRow()],
    fleet: [fleetClass()],
    ...over,
  });
}

/** Loads variant `small` everywhere and sends every request to the first worker. */
export function sendAll(over: Partial<Policy> = {}): Policy {
  return {
    name: 'send-all',
    start: (world: World) => {
      for (const worker of world.workers) world.load(worker, 'digits', 'small');
    },
    arrive: (request, world) => {
      const [worker] = world.workers;
      if (worker === undefined) world.refuse(request);
      else world.dispatch(request, worker, 'small');
    },
    ...over,
  };
}
