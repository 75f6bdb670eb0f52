import type { FleetClass, ProfileRow, Scenario, ScenarioTask } from '../../../bench/src/scenario/scenario.ts';

/** A profile's line of the task "a" on "cpu": 4 ms, accuracy 0.9, loaded in 500 ms. */
export function row(over: Partial<ProfileRow> = {}): ProfileRow {
  return {
    task: 'a',
    variant: 'small',
    deviceClass: 'cpu',
    batch: 1,
    p50Ms: 4,
    accuracy: 0.9,
    loadMs: 500,
    memoryBytes: 1_000,
    ...over,
  };
}

/** A task without arrivals, with an SLO of 50 ms. */
export function task(over: Partial<ScenarioTask> = {}): ScenarioTask {
  return {
    task: 'a',
    sloMs: 50,
    minAccuracy: 0,
    prefer: 'cost',
    payloadBytes: 0,
    answerBytes: 0,
    arrivals: [],
    ...over,
  };
}

/** One edge worker at a dollar an hour; `count` alone makes a fixed class of that many. */
export function fleetClass(over: Partial<FleetClass> = {}): FleetClass {
  const count = over.count ?? 1;
  return {
    deviceClass: 'cpu',
    tier: 'edge',
    count,
    usdPerHour: 1,
    min: count,
    max: count,
    startupMs: 0,
    memoryBytes: Number.POSITIVE_INFINITY,
    ...over,
  };
}

/** A minute of one task on one edge worker, without browsers and with no network between. */
export function scenario(over: Partial<Scenario> = {}): Scenario {
  return {
    seed: 1,
    name: 'test',
    durationMs: 60_000,
    windowSeconds: 10,
    tasks: [task()],
    profiles: [row()],
    fleet: [fleetClass()],
    browsers: {
      deviceClasses: [],
      requestsPerCaller: 10,
      energyUsdPerHour: 0,
      cachedShare: 0,
      callersAtOnce: 10,
    },
    network: { rtts: [{ rttMs: 0, share: 1 }], bytesPerMs: Number.POSITIVE_INFINITY },
    egressUsdPerGb: 0,
    requestUsdPerMillion: 0,
    ...over,
  };
}
