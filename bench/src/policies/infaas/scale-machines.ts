/*
 * INFaaS's VM autoscaling: `master_vm_daemon.cc`, every 2 seconds. Utilisations are shares of the time since the last look.
 */

/** Milliseconds between two looks [C: sleep_seconds]. */
export const MACHINE_PERIOD_MS = 2_000;
/** Least utilisation of a tier at which it gets a worker more [C: start script, 80 %]. */
const START_ABOVE = 0.8;
/** Looks without a change after one [C: num_iter]. */
const BACK_OFF_LOOKS = 15;
/** Looks with little use before a worker leaves [C: vm_shutdown_thresh]. */
const STOP_VOTES = 15;
/** Little use of the least used worker, and on average [C: *_shutdown_min, avg_*_shutdown_min]. */
const STOP_BELOW = {
  pool: { least: 0.08, mean: 0.08 },
  edge: { least: 0.05, mean: 0.3 },
} as const;

/** Where the scaling of a device class stands. */
export interface MachineState {
  readonly looksSinceChange: number;
  readonly stopVotes: number;
}

export const INITIAL_MACHINE_STATE: MachineState = { looksSinceChange: BACK_OFF_LOOKS, stopVotes: 0 };

/** What a look at a device class sees. */
export interface MachineLook {
  readonly tier: 'edge' | 'pool';
  /** Of each worker, 0 to 1; empty where there is none. */
  readonly utilisations: readonly number[];
  /** Whether a blacklisted GPU asked for a worker since the last change [C: vm_scale flag]. */
  readonly isAsked: boolean;
  readonly canStart: boolean;
  readonly canStop: boolean;
}

/**
 * Whether a class gets or loses a worker. After a change nothing happens for 15 looks. A worker starts when even the least
 * used one is busy more than 80 % of the time, or when a blacklisted GPU asked for one; it stops after 15 looks of little use
 * in a row, unless one was asked for.
 */
export function lookAtMachines(
  state: MachineState,
  { tier, utilisations, isAsked, canStart, canStop }: MachineLook,
): { readonly state: MachineState; readonly action: 'start' | 'stop' | undefined } {
  if (state.looksSinceChange < BACK_OFF_LOOKS) {
    return { state: { ...state, looksSinceChange: state.looksSinceChange + 1 }, action: undefined };
  }
  const least = Math.min(...utilisations);
  const isBusy = utilisations.length === 0 ? isAsked : least > START_ABOVE;
  if (canStart && (isBusy || (isAsked && tier === 'pool'))) {
    return { state: { looksSinceChange: 0, stopVotes: 0 }, action: 'start' };
  }
  const mean = utilisations.reduce((sum, value) => sum + value, 0) / Math.max(1, utilisations.length);
  const isIdle = !isAsked && (least <= STOP_BELOW[tier].least || mean <= STOP_BELOW[tier].mean);
  if (!isIdle || utilisations.length === 0) return { state: { ...state, stopVotes: 0 }, action: undefined };
  if (state.stopVotes + 1 < STOP_VOTES) {
    return { state: { ...state, stopVotes: state.stopVotes + 1 }, action: undefined };
  }
  return canStop
    ? { state: { looksSinceChange: 0, stopVotes: 0 }, action: 'stop' }
    : { state: { ...state, stopVotes: 0 }, action: undefined };
}
