import { readPrices } from '@nearfar/coordinator/node';
import { float32Tensor, modelsResponseSchema, parseOrThrow, type VariantSpec } from '@nearfar/protocol';
import type { MeshPrograms } from '../bench.ts';
import { type CapacitySearch, findCapacity } from './capacity.ts';
import { summariseReplay } from './compare.ts';
import { HttpCaller } from './http-caller.ts';
import { type LiveMesh, startLiveMesh } from './live-mesh.ts';
import { type LivePage, openLivePage } from './live-page.ts';
import { type MachineNoise, watchNoise } from './machine-noise.ts';
import { measureAlone } from './measure-alone.ts';
import { type LoadSource, planStretch } from './minutes.ts';
import { type Replayed, replay } from './replay.ts';
import type { Demands, EndedRequest } from './requests.ts';
import type { MeasuredMesh } from './simulated-replay.ts';

/** How long the parts of a live run are, and at which shares of the capacity. */
export interface LivePlan {
  readonly poolWorkers: number;
  /** The DevTools protocol's rate; 1 = not throttled. */
  readonly throttling: number;
  readonly source: LoadSource;
  readonly capacity: CapacitySearch & { readonly seconds: number };
  /** Stretches that the contention is fitted on, and those that are compared: each share of the capacity for so long. */
  readonly training: readonly StretchPlan[];
  readonly compared: readonly StretchPlan[];
}

export interface StretchPlan {
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
  readonly kind: 'capacity' | 'training' | 'compared';
  /** Share of the capacity; undefined while that was looked for. */
  readonly load: number | undefined;
  readonly requests: readonly EndedRequest[];
  readonly noise: MachineNoise | undefined;
}

const TASK = 'fashion';
const ROWS = 16;
/** Callers over HTTP may wait for a dozen runs, the page's user for a handful of its own. */
const SLO_MS = 150;
const PAGE_SLO_MS = 300;
const PIXEL = 0.5;

/** Starts a mesh, measures it, finds its capacity, and replays the stretches of the plan against it. */
export async function runLive(
  programs: MeshPrograms,
  plan: LivePlan,
  say: (line: string) => void,
): Promise<LiveRun> {
  say(`starting the mesh: coordinator with its edge, and ${plan.poolWorkers} pool workers`);
  const mesh = await startLiveMesh(programs, plan.poolWorkers);
  try {
    const { demands, variant } = await chooseDemands(mesh);
    const [input] = variant.inputs;
    if (input === undefined) throw new Error(`Expected ${variant.variant} to have an input`);
    const shape = input.shape.map((dimension) => (dimension === -1 ? ROWS : dimension));
    say('opening a page, preparing it, and throttling it');
    const { name } = input;
    const page = await openLivePage(programs, mesh.url, demands, {
      input: { name, shape },
      throttling: plan.throttling,
    });
    const pixels = shape.reduce((product, size) => product * size, 1);
    const tensor = float32Tensor(name, shape, new Float32Array(pixels).fill(PIXEL));
    const http = new HttpCaller(mesh.url, demands, tensor);
    try {
      say('measuring requests one at a time');
      const measured: MeasuredMesh = {
        demands,
        accuracy: variant.accuracy.value,
        payloadBytes: tensor.data.byteLength,
        poolWorkers: plan.poolWorkers,
        prices: await readPrices(),
        ...(await measureAlone(http, page)),
      };
      const { worker, httpMs } = measured;
      say(
        `a run takes ${worker.p50Ms.toFixed(1)} ms alone at a worker and ${measured.page.p50Ms.toFixed(1)} ms in the page; the rest of a request ${httpMs.toFixed(1)} ms`,
      );
      return { measured, ...(await replayAll({ http, page, plan, demands, say })) };
    } finally {
      http.close();
      await page.close();
    }
  } finally {
    await mesh.close();
  }
}

interface Stage {
  readonly http: HttpCaller;
  readonly page: LivePage;
  readonly plan: LivePlan;
  readonly demands: Demands;
  readonly say: (line: string) => void;
}

async function replayAll({
  http,
  page,
  plan,
  demands,
  say,
}: Stage): Promise<Pick<LiveRun, 'capacityPerSecond' | 'stretches'>> {
  const stretches: LiveStretch[] = [];
  let firstAt: number | undefined;
  const run = async (
    kind: LiveStretch['kind'],
    load: number | undefined,
    perSecond: number,
    seconds: number,
  ): Promise<number> => {
    const schedule = await planStretch(plan.source, { number: stretches.length, perSecond, seconds });
    const noiseSince = watchNoise();
    const replayed = await replay(http, page, schedule, demands.sloMs);
    const noise = noiseSince();
    firstAt ??= replayed.startedAt;
    const requests = onOneClock(replayed, firstAt);
    stretches.push({ kind, load, requests, noise });
    const { attainment, meanMs, tierShares } = summariseReplay(requests);
    const shares = Object.entries(tierShares).map(([tier, share]) => `${tier} ${percent(share)}`);
    say(
      `${kind}: ${perSecond.toFixed(1)} requests a second for ${seconds} s, ${percent(attainment)} on time, mean ${meanMs.toFixed(1)} ms, ${shares.join(', ')}; others on the machine ${percent(noise?.others ?? 0)}`,
    );
    return attainment;
  };
  const capacityPerSecond = await findCapacity(
    (perSecond) => run('capacity', undefined, perSecond, plan.capacity.seconds),
    plan.capacity,
  );
  say(`capacity: ${capacityPerSecond.toFixed(1)} requests a second`);
  for (const { load, seconds } of plan.training) {
    await run('training', load, load * capacityPerSecond, seconds);
  }
  for (const { load, seconds } of plan.compared) {
    await run('compared', load, load * capacityPerSecond, seconds);
  }
  return { capacityPerSecond, stretches };
}

/** Moves a replayed schedule to the clock that began with the first one. */
function onOneClock({ startedAt, requests }: Replayed, firstAt: number): EndedRequest[] {
  const offsetMs = startedAt - firstAt;
  return requests.map((request) => ({
    ...request,
    arrivalMs: request.arrivalMs + offsetMs,
    sentMs: request.sentMs + offsetMs,
  }));
}

/** The most accurate variant that workers and pages can both run is asked for, so that no other one will do. */
async function chooseDemands(mesh: LiveMesh): Promise<{ demands: Demands; variant: VariantSpec }> {
  const body = await mesh.getJson('/v1/models');
  const { models } = parseOrThrow(modelsResponseSchema, body, 'MESH_INTERNAL', 'models');
  const [variant] = (models.find(({ task }) => task === TASK)?.variants ?? [])
    .filter(({ format }) => format === 'onnx')
    .toSorted((a, b) => b.accuracy.value - a.accuracy.value);
  if (variant === undefined) throw new Error(`Expected the sample task "${TASK}" to have an ONNX variant`);
  const demands: Demands = {
    task: TASK,
    minAccuracy: variant.accuracy.value,
    rows: ROWS,
    sloMs: SLO_MS,
    pageSloMs: PAGE_SLO_MS,
  };
  return { demands, variant };
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
