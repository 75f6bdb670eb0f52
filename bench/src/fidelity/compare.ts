import type { Tier } from '@nearfar/protocol';
import type { EndedRequest } from './requests.ts';

/** What is compared of a replay. */
export interface ReplaySummary {
  readonly requests: number;
  /** Share of all that was on time. */
  readonly attainment: number;
  /** Of the answers; 0 where there were none. */
  readonly meanMs: number;
  /** Shares of the answers; all 0 where there were none. */
  readonly tierShares: Readonly<Record<Tier, number>>;
}

/** How far a simulation lies from what was seen. */
export interface Gap {
  readonly attainmentPoints: number;
  /** Share by which the mean latency is off: 0.1 = 10 % too much or too little. */
  readonly meanLatency: number;
  /** Of the tier whose share is farthest off, in points of a hundred. */
  readonly tierSharePoints: number;
}

/** How far a simulation that is believed may be off. */
const MOST_GAP: Gap = { attainmentPoints: 2, meanLatency: 0.15, tierSharePoints: 5 };

const TIERS: readonly Tier[] = ['browser', 'edge', 'pool'];

/** The figures of a replay, or of several with other draws, whose requests are then taken together. */
export function summariseReplay(requests: readonly EndedRequest[]): ReplaySummary {
  const answers = requests.filter(({ tier }) => tier !== undefined);
  const total = Math.max(1, answers.length);
  const shareOf = (wanted: Tier) => answers.filter(({ tier }) => tier === wanted).length / total;
  return {
    requests: requests.length,
    attainment: requests.filter(({ isOnTime }) => isOnTime).length / Math.max(1, requests.length),
    meanMs: answers.reduce((sum, { latencyMs }) => sum + latencyMs, 0) / total,
    tierShares: { browser: shareOf('browser'), edge: shareOf('edge'), pool: shareOf('pool') },
  };
}

/** How far apart two replays of the same requests are. */
export function gapBetween(live: ReplaySummary, simulated: ReplaySummary): Gap {
  return {
    attainmentPoints: 100 * Math.abs(live.attainment - simulated.attainment),
    meanLatency: Math.abs(simulated.meanMs / live.meanMs - 1),
    tierSharePoints:
      100 * Math.max(...TIERS.map((tier) => Math.abs(live.tierShares[tier] - simulated.tierShares[tier]))),
  };
}

/** Whether a gap is small enough to believe the simulation; at the bounds it is. */
export function isWithin(gap: Gap): boolean {
  return (
    gap.attainmentPoints <= MOST_GAP.attainmentPoints &&
    gap.meanLatency <= MOST_GAP.meanLatency &&
    gap.tierSharePoints <= MOST_GAP.tierSharePoints
  );
}
