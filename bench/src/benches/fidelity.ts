import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from '../bench.ts';
import { type Gap, gapBetween, isWithin, type ReplaySummary, summariseReplay } from '../fidelity/compare.ts';
import { slowdownCurve } from '../fidelity/contention.ts';
import { fitToLive, type History } from '../fidelity/fit-to-live.ts';
import { type LivePlan, type LiveRun, type LiveStretch, runLive } from '../fidelity/live-run.ts';
import { simulateReplay } from '../fidelity/simulated-replay.ts';
import { SLO_TARGET } from '../fidelity/stage.ts';

const TRACE = join('traces', 'twitter_2021-08_day1_rps.csv');
/** Draws of the noise that the compared minutes are simulated with. */
const DRAWS = 5;

/** How long the run takes: about nine minutes. */
const PLAN: Omit<LivePlan, 'source'> = {
  poolWorkers: 2,
  throttling: 2,
  // A rate that is far too high would leave its mark on the corrections that the next ones are predicted with.
  capacity: {
    target: SLO_TARGET,
    fromPerSecond: 15,
    mostPerSecond: 10_000,
    growth: 1.5,
    precision: 0.06,
    seconds: 12,
  },
  training: [
    { load: 0.15, seconds: 40 },
    { load: 0.45, seconds: 40 },
    { load: 0.7, seconds: 40 },
    { load: 0.3, seconds: 30 },
  ],
  compared: [
    { load: 0.3, seconds: 60 },
    { load: 0.6, seconds: 60 },
  ],
};
const PAGE_SHARE = 0.1;

/** How well the simulator repeats what a live mesh does. */
export const fidelity: Bench = {
  name: 'fidelity',
  description:
    'A live mesh (edge, two pool workers, one throttled page) against the simulator on the same requests, at 30 and 60 % of capacity',
  async run({ seed, say, programs }) {
    if (programs === undefined) throw new Error('Expected to be told how to start a mesh');
    const trace = programs.dataFolder === undefined ? undefined : join(programs.dataFolder, TRACE);
    const traceFile = trace !== undefined && existsSync(trace) ? trace : undefined;
    say(traceFile === undefined ? 'load: drawn bursts' : `load: minutes of ${TRACE}`);
    const live = await runLive(
      programs,
      { ...PLAN, source: { traceFile, pageShare: PAGE_SHARE, seed } },
      say,
    );
    return compareWithSimulation(live, seed, say);
  },
};

/** Fits the contention on the training stretches, simulates all that was seen, and compares the stretches that are left. */
function compareWithSimulation(
  live: LiveRun,
  seed: number,
  say: (line: string) => void,
): Readonly<Record<string, number>> {
  const { measured, stretches, capacityPerSecond } = live;
  const history = historyOf(stretches.filter(({ kind }) => kind !== 'compared'));
  say('fitting the contention to the training stretches');
  const trained = history.stretches.filter((_, index) => stretches[index]?.kind === 'training');
  const contention = fitToLive(measured, { ...history, stretches: trained }, seed);
  const slowdown = slowdownCurve(contention, 2 + measured.poolWorkers);
  say(
    `slow-down of one, two, … computations at once: ${slowdown.map((value) => value.toFixed(2)).join(', ')}`,
  );

  const all = historyOf(stretches);
  const draws = Array.from({ length: DRAWS }, (_, draw) =>
    simulateReplay(measured, all.requests, slowdown, seed + 100 + draw),
  );
  const gaps: Gap[] = [];
  const metrics: Record<string, number> = {};
  for (const [index, { kind, load, requests }] of stretches.entries()) {
    const place = all.stretches[index];
    if (kind !== 'compared' || place === undefined) continue;
    const seen = summariseReplay(requests);
    const simulated = summariseReplay(draws.flatMap((draw) => draw.slice(place.from, place.to)));
    const gap = gapBetween(seen, simulated);
    gaps.push(gap);
    const name = `${Math.round(100 * load)}`;
    Object.assign(metrics, {
      ...figures(seen, `live_${name}`),
      ...figures(simulated, `simulated_${name}`),
      [`attainment_gap_points_${name}`]: gap.attainmentPoints,
      [`mean_latency_error_${name}`]: gap.meanLatency,
      [`tier_share_gap_points_${name}`]: gap.tierSharePoints,
      [`passes_${name}`]: Number(isWithin(gap)),
    });
  }
  const most = (value: (gap: Gap) => number) => Math.max(...gaps.map(value));
  const noise = stretches.flatMap((stretch) => stretch.noise ?? []);
  return {
    attainment_gap_points: most(({ attainmentPoints }) => attainmentPoints),
    mean_latency_error: most(({ meanLatency }) => meanLatency),
    tier_share_gap_points: most(({ tierSharePoints }) => tierSharePoints),
    passes: Number(gaps.every((gap) => isWithin(gap))),
    capacity_per_s: capacityPerSecond,
    worker_alone_p50_ms: measured.worker.p50Ms,
    worker_alone_p99_ms: measured.worker.p99Ms,
    page_alone_p50_ms: measured.page.p50Ms,
    request_overhead_ms: measured.httpMs,
    page_request_overhead_ms: measured.fromPageMs,
    believed_over_measured_worker: measured.believedTimes.worker,
    believed_over_measured_page: measured.believedTimes.page,
    ...Object.fromEntries(slowdown.map((value, index) => [`slowdown_of_${index + 1}`, value])),
    fit_error: Math.sqrt(contention.error),
    ...metrics,
    noise_others_share: Math.max(0, ...noise.map(({ others }) => others)),
    noise_stolen_share: Math.max(0, ...noise.map(({ stolen }) => stolen)),
  };
}

function figures(summary: ReplaySummary, name: string): Record<string, number> {
  const { requests, attainment, meanMs, tierShares } = summary;
  return {
    [`requests_${name}`]: requests,
    [`attainment_${name}`]: attainment,
    [`mean_latency_ms_${name}`]: meanMs,
    [`browser_share_${name}`]: tierShares.browser,
    [`edge_share_${name}`]: tierShares.edge,
    [`pool_share_${name}`]: tierShares.pool,
  };
}

function historyOf(stretches: readonly LiveStretch[]): History {
  const requests = stretches.flatMap((stretch) => stretch.requests);
  let from = 0;
  const places = stretches.map((stretch) => {
    const place = { from, to: from + stretch.requests.length };
    from = place.to;
    return place;
  });
  return { requests, stretches: places };
}
