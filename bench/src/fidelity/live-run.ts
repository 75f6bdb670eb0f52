import type { MeshPrograms } from '../bench.ts';
import { highestRate, type RateSearch } from '../highest-rate.ts';
import { summariseReplay } from './compare.ts';
import { type MachineNoise, watchNoise } from './machine-noise.ts';
import { measureAlone } from './measure-alone.ts';
import { type LoadSource, planStretch, type Stretch } from './minutes.ts';
import { replay } from './replay.ts';
import type { EndedRequest } from './requests.ts';
import type { MeasuredMesh } from './simulated-replay.ts';
import { type Stage, type StageOptions, withStage } from './stage.ts';

/** How long the parts of a live run are, and at which shares of the capacity. */
export interface LivePlan extends StageOptions {
  readonly source: LoadSource;
  readonly capacity: RateSearch & {
    /** Share of requests that have to be on time, 0 to 1. */
    readonly target: number;
    /** How long each rate is tried. */
    readonly seconds: number;
  };
  /** Stretches that the contention is fitted on, and those that are compared: each share of the capacity for so long. */
  readonly training: readonly PlannedStretch[];
  readonly compared: readonly PlannedStretch[];
}

export interface PlannedStretch {
  /** Of the capacity, 0 to 1. */
  readonly load: number;
  readonly seconds: number;
}

/** What was seen of the live mesh, in the order in which it happened, on one clock. */
export interface LiveRun {
  readonly measured: MeasuredMesh;
  readonly capacityPerSecond: number;
  readonly stretches: readonly LiveStretch[];
}

export interface LiveStretch {
  readonly kind: 'training' | 'compared';
  /** Share of the capacity. */
  readonly load: number;
  readonly requests: readonly EndedRequest[];
  /** Undefined where the system does not tell. */
  readonly noise: MachineNoise | undefined;
}

/**
 * Finds the capacity of a mesh, starts another one that has not been through that, measures it, and replays the stretches of
 * the plan against it.
 */
export async function runLive(
  programs: MeshPrograms,
  plan: LivePlan,
  say: (line: string) => void,
): Promise<LiveRun> {
  say(`starting a mesh: coordinator with its edge, ${plan.poolWorkers} pool workers, and a page`);
  const capacityPerSecond = await withStage(programs, plan, async (stage) => {
    // A first short stretch compiles and connects what the next ones are measured with.
    const { fromPerSecond, seconds, target } = plan.capacity;
    const attainmentAt = async (perSecond: number, of = 'capacity') => {
      const stretch = { number: 0, perSecond, seconds };
      return summariseReplay((await replayStretch(stage, plan, of, stretch, say)).requests).attainment;
    };
    await attainmentAt(fromPerSecond, 'warm-up');
    const holds = async (perSecond: number) => (await attainmentAt(perSecond)) >= target;
    const found = await highestRate(holds, plan.capacity);
    if (found > 0) return found;
    throw new Error(
      `Expected ${100 * target} % of ${fromPerSecond} or fewer requests a second to be on time`,
    );
  });
  say(`capacity: ${capacityPerSecond.toFixed(1)} requests a second`);
  say('starting another mesh, which remembers nothing of that');
  return await withStage(programs, plan, async (stage) => {
    const measured = await measureAlone(stage);
    const { worker, page, httpMs } = measured;
    say(
      `one at a time: a run takes ${worker.p50Ms.toFixed(1)} ms at a worker and ${page.p50Ms.toFixed(1)} ms in the page; the rest of a request ${httpMs.toFixed(1)} ms`,
    );
    const planned = [
      ...plan.training.map((entry) => ({ ...entry, kind: 'training' as const })),
      ...plan.compared.map((entry) => ({ ...entry, kind: 'compared' as const })),
    ];
    const stretches: LiveStretch[] = [];
    let firstAt: number | undefined;
    for (const { kind, load, seconds } of planned) {
      const stretch = { number: stretches.length + 1, perSecond: load * capacityPerSecond, seconds };
      const { startedAt, requests, noise } = await replayStretch(stage, plan, kind, stretch, say);
      firstAt ??= startedAt;
      stretches.push({ kind, load, noise, requests: moved(requests, startedAt - firstAt) });
    }
    return { measured, capacityPerSecond, stretches };
  });
}

async function replayStretch(
  { http, page, demands }: Stage,
  { source }: LivePlan,
  name: string,
  stretch: Stretch,
  say: (line: string) => void,
) {
  const schedule = await planStretch(source, stretch);
  const noiseSince = watchNoise();
  const { startedAt, requests } = await replay(http, page, schedule, demands.sloMs);
  const noise = noiseSince();
  const { attainment, meanMs, tierShares } = summariseReplay(requests);
  const shares = Object.entries(tierShares).map(([tier, share]) => `${tier} ${percent(share)}`);
  const rate = `${stretch.perSecond.toFixed(1)} requests a second for ${stretch.seconds} s`;
  const others = noise === undefined ? '' : `; others on the machine ${percent(noise.others)}`;
  say(
    `${name}: ${rate}, ${percent(attainment)} on time, mean ${meanMs.toFixed(1)} ms, ${shares.join(', ')}${others}`,
  );
  return { startedAt, requests, noise };
}

/** The same requests on a clock that began earlier. */
function moved(requests: readonly EndedRequest[], byMs: number): EndedRequest[] {
  return requests.map((request) => ({
    ...request,
    arrivalMs: request.arrivalMs + byMs,
    sentMs: request.sentMs + byMs,
  }));
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
