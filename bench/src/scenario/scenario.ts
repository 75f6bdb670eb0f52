/** A scenario as it was read and checked: all files loaded, every default filled in. */
export interface Scenario {
  readonly seed: number;
  /** For people; the file's name where the file gives none. */
  readonly name: string;
  /** Length of the run in simulated time: what goodput and provisioned workers are counted over. */
  readonly durationMs: number;
  /** Length of a window of the report. */
  readonly windowSeconds: number;
  readonly tasks: readonly ScenarioTask[];
  readonly profiles: readonly ProfileRow[];
  readonly fleet: readonly FleetClass[];
  readonly browsers: BrowserMix;
  readonly network: NetworkMix;
  /** Machines that workers and devices share; absent = everybody computes on one of its own. */
  readonly machines?: readonly ScenarioMachine[];
  /** US dollars a gigabyte of answers and weights that leave the mesh. */
  readonly egressUsdPerGb: number;
  /** US dollars a million requests that reach the mesh. */
  readonly requestUsdPerMillion: number;
}

/** A task with its demands and its arrivals. */
export interface ScenarioTask {
  readonly task: string;
  /** Of whoever sets up a server for the task, and of requests that name none. */
  readonly sloMs: number;
  /** Which SLOs its requests name, in shares that add up to 1; absent = none but their trace's. */
  readonly slos?: readonly { readonly sloMs: number; readonly share: number }[];
  /** Probability with which an answer is to be on time, above 0 and below 1; absent = as of a request that names none. */
  readonly sloTarget?: number;
  readonly minAccuracy: number;
  readonly prefer: 'cost' | 'accuracy';
  /** Bytes of a request's inputs and of its answer. */
  readonly payloadBytes: number;
  readonly answerBytes: number;
  /** Milliseconds from the start of the run, rising; `sloMs` where the trace names its own. */
  readonly arrivals: readonly Arrival[];
  /** Absent = none. */
  readonly cascades?: readonly ScenarioCascade[];
}

/** Two variants of a task of which the large one answers what the small one is not sure of. */
export interface ScenarioCascade {
  /** Name of the pair, which no profile has. */
  readonly variant: string;
  readonly small: string;
  readonly large: string;
  /** Of the pair, 0 to 1. */
  readonly accuracy: number;
  /** Share of requests, 0 to 1, that go on to the large one: which ones follows from the seed. */
  readonly escalationRate: number;
}

export interface Arrival {
  readonly arrivalMs: number;
  readonly sloMs?: number;
}

/** A line of `profiles.csv`. */
export interface ProfileRow {
  readonly task: string;
  readonly variant: string;
  readonly deviceClass: string;
  readonly batch: number;
  /** At least one of the quantiles is known. */
  readonly p50Ms?: number;
  readonly p90Ms?: number;
  readonly p99Ms?: number;
  /** 0 to 1. */
  readonly accuracy: number;
  readonly loadMs: number;
  readonly memoryBytes: number;
  /** What a page downloads to run it; absent = as much as it needs memory. */
  readonly weightBytes?: number;
}

/** Workers of one device class. With `min` and `max` it is elastic, else fixed at `count`. */
export interface FleetClass {
  readonly deviceClass: string;
  readonly tier: 'edge' | 'pool';
  readonly count: number;
  readonly usdPerHour: number;
  readonly min: number;
  readonly max: number;
  readonly startupMs: number;
  /** Memory for variants; infinite where the scenario gives none. */
  readonly memoryBytes: number;
  /** The machine that all workers of the class compute on together; absent = each has one of its own. */
  readonly machine?: string;
}

/** A machine that several workers or devices compute on. */
export interface ScenarioMachine {
  readonly name: string;
  /**
   * How many times slower each computation is while one, two, three … of them run at once, from 1 on and not falling. More
   * than the list has are slower in proportion to their number.
   */
  readonly slowdown: readonly number[];
}

/** The callers' own devices. */
export interface BrowserMix {
  /** Shares of callers, adding up to at most 1; the rest can run nothing. */
  readonly deviceClasses: readonly {
    readonly deviceClass: string;
    readonly share: number;
    /** As of a fleet's class: all callers with such a device share it. */
    readonly machine?: string;
  }[];
  /** Requests that one caller makes on average before it goes: over these a download is spread. */
  readonly requestsPerCaller: number;
  /** US dollars an hour of a device that computes. */
  readonly energyUsdPerHour: number;
  /** Share of capable callers that have the weights of every variant from an earlier visit. */
  readonly cachedShare: number;
  /** Callers that are there at the same time, each of which makes the next request with the same probability. */
  readonly callersAtOnce: number;
}

/** How callers reach the mesh: each caller has one of the round trips, for good. */
export interface NetworkMix {
  readonly rtts: readonly { readonly rttMs: number; readonly share: number }[];
  /** Bytes a millisecond either way; infinite where the scenario gives none. */
  readonly bytesPerMs: number;
}
