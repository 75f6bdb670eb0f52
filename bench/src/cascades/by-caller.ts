import type { Scenario } from '../scenario/scenario.ts';
import type { Policy, SimulatedOutcome, SimulatedRequest, SimulatedStage } from '../simulator/policy.ts';

/** What the requests of callers of one kind came to. */
export interface CallerTally {
  requests: number;
  onTime: number;
  /** Sum over on-time answers. */
  accuracySum: number;
  /** Busy time at its price, energy, answers' egress and request prices; without weights. */
  marginalUsd: number;
}

const MS_PER_HOUR = 3_600_000;
const BYTES_PER_GB = 1_000_000_000;

/** A policy whose requests are counted by the kind of their callers. Each pays its share of its batches. */
export function countedByCaller(
  policy: Policy,
  scenario: Scenario,
  kindOf: (deviceClass: string | undefined) => string,
): { readonly policy: Policy; readonly tallies: ReadonlyMap<string, CallerTally> } {
  const tallies = new Map<string, CallerTally>();
  const tallyOf = ({ caller: { deviceClass } }: SimulatedRequest) => {
    const kind = kindOf(deviceClass);
    const known = tallies.get(kind) ?? { requests: 0, onTime: 0, accuracySum: 0, marginalUsd: 0 };
    tallies.set(kind, known);
    return known;
  };
  const rateOf = (tier: SimulatedOutcome['tier'], deviceClass: string | undefined) =>
    tier === 'browser'
      ? scenario.browsers.energyUsdPerHour
      : (scenario.fleet.find((entry) => entry.tier === tier && entry.deviceClass === deviceClass)
          ?.usdPerHour ?? 0);
  const busyUsd = (
    usdPerHour: number,
    { serviceMs, batchSize }: Pick<SimulatedStage, 'serviceMs' | 'batchSize'>,
  ) => (batchSize === 0 ? 0 : (usdPerHour * serviceMs) / batchSize / MS_PER_HOUR);
  const requestUsd = scenario.requestUsdPerMillion / 1e6;
  /** Requests whose price was counted with their small stage. */
  const paid = new Set<number>();

  const finished = (request: SimulatedRequest, outcome: SimulatedOutcome) => {
    const { tier, deviceClass, kind, isOnTime } = outcome;
    const tally = tallyOf(request);
    tally.requests += 1;
    if (isOnTime) {
      tally.onTime += 1;
      tally.accuracySum += accuracyOf(scenario, request.task, outcome);
    }
    tally.marginalUsd += busyUsd(rateOf(tier, deviceClass), outcome);
    const isByWorker = tier === 'edge' || tier === 'pool';
    if (isByWorker && !paid.delete(request.index)) tally.marginalUsd += requestUsd;
    if (isByWorker && kind === 'answered') {
      const bytes = scenario.tasks.find(({ task }) => task === request.task)?.answerBytes ?? 0;
      tally.marginalUsd += (bytes * scenario.egressUsdPerGb) / BYTES_PER_GB;
    }
  };
  const escalated = (request: SimulatedRequest, stage: SimulatedStage) => {
    const { worker } = stage;
    const tally = tallyOf(request);
    tally.marginalUsd += busyUsd(worker?.usdPerHour ?? scenario.browsers.energyUsdPerHour, stage);
    if (worker === undefined) return;
    tally.marginalUsd += requestUsd;
    paid.add(request.index);
  };
  return { policy: observed(policy, { finished, escalated }), tallies };
}

/** A policy with others who hear what it hears. */
function observed(
  policy: Policy,
  heard: {
    readonly finished: (request: SimulatedRequest, outcome: SimulatedOutcome) => void;
    readonly escalated: (request: SimulatedRequest, stage: SimulatedStage) => void;
  },
): Policy {
  return {
    name: policy.name,
    start: (world) => policy.start(world),
    arrive: (request, world) => policy.arrive(request, world),
    ...(policy.formBatch !== undefined && { formBatch: policy.formBatch.bind(policy) }),
    finished: (request, outcome, world) => {
      heard.finished(request, outcome);
      policy.finished?.(request, outcome, world);
    },
    escalated: (request, stage, world) => {
      heard.escalated(request, stage);
      policy.escalated?.(request, stage, world);
    },
  };
}

function accuracyOf(
  { tasks, profiles }: Scenario,
  name: string,
  { variant, deviceClass }: SimulatedOutcome,
): number {
  const cascade = tasks
    .find(({ task }) => task === name)
    ?.cascades?.find((entry) => entry.variant === variant);
  if (cascade !== undefined) return cascade.accuracy;
  const row = profiles.find(
    (entry) => entry.task === name && entry.variant === variant && entry.deviceClass === deviceClass,
  );
  return row?.accuracy ?? 0;
}
