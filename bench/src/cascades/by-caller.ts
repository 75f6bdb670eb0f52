import type { Scenario } from '../scenario/scenario.ts';
import type { SimulatedOutcome, SimulatedRequest, SimulatedStage } from '../simulator/policy.ts';
import type { SimulateOptions } from '../simulator/simulate.ts';
import { BYTES_PER_GB, MS_PER_HOUR } from '../units.ts';

/** What the requests of callers of one kind came to. */
export interface CallerTally {
  requests: number;
  onTime: number;
  /** Sum over on-time answers. */
  accuracySum: number;
  /** Busy time at its price, energy, answers' egress and request prices; without weights. */
  marginalUsd: number;
}

/** Counts the requests of a run by the kind of their callers; `simulate` is given it. Each pays its share of its batches. */
export function tallyByCaller(
  scenario: Scenario,
  kindOf: (deviceClass: string | undefined) => string,
): Required<Pick<SimulateOptions, 'onEnded' | 'onEscalated'>> & {
  readonly tallies: ReadonlyMap<string, CallerTally>;
} {
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

  const onEnded = (request: SimulatedRequest, outcome: SimulatedOutcome) => {
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
  const onEscalated = (request: SimulatedRequest, stage: SimulatedStage) => {
    const { worker } = stage;
    const tally = tallyOf(request);
    tally.marginalUsd += busyUsd(worker?.usdPerHour ?? scenario.browsers.energyUsdPerHour, stage);
    if (worker === undefined) return;
    tally.marginalUsd += requestUsd;
    paid.add(request.index);
  };
  return { tallies, onEnded, onEscalated };
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
