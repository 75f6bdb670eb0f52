import type { Bench } from '../bench.ts';
import { POLICIES } from '../policies/index.ts';
import { gammaArrivals } from '../scenario/gamma-arrivals.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { createWorkload } from '../scenario/workload.ts';
import { simulate } from '../simulator/simulate.ts';

const SECONDS = 2_000;
const PER_SECOND = 250;
const SIMPLE = ['always-browser', 'always-edge', 'always-pool', 'greedy-latency', 'greedy-cost'];

/** How many requests a minute one core simulates, the drawing of the workload included. */
export const simulator: Bench = {
  name: 'simulator',
  description: 'Simulated requests a minute on one core, for the simple policies and for the mesh',
  async run({ seed, say }) {
    const scenario = busyMinute(seed);
    const rates = new Map<string, number>();
    for (const name of [...SIMPLE, 'mesh']) {
      const create = POLICIES.get(name);
      if (create === undefined) throw new RangeError(`Expected a policy "${name}"`);
      const policy = await create(scenario);
      const startedAt = performance.now();
      const { requests } = simulate(scenario, policy, { workload: createWorkload(scenario) });
      const rate = (requests / (performance.now() - startedAt)) * 60_000;
      rates.set(name, rate);
      say(`${name}: ${(rate / 1e6).toFixed(1)} million requests a minute`);
    }
    const simple = SIMPLE.map((name) => rates.get(name) ?? 0);
    return {
      requests_per_minute_simple: Math.min(...simple),
      requests_per_minute_simple_max: Math.max(...simple),
      requests_per_minute_mesh: rates.get('mesh') ?? 0,
    };
  },
};

/** Half a million requests of two tasks on a dozen workers, with browsers. All figures are made up. */
function busyMinute(seed: number): Scenario {
  const tasks = ['a', 'b'];
  const profiles = tasks.flatMap((task) =>
    ['cpu', 'gpu', 'page'].flatMap((deviceClass, place) =>
      ['small', 'large'].flatMap((variant, size) =>
        [1, 8].map((batch) => {
          const p50Ms = (size === 0 ? 3 : 12) * (place === 1 ? 0.3 : 1) * (batch === 1 ? 1 : 4);
          const accuracy = size === 0 ? 0.9 : 0.94;
          const rest = {
            p50Ms,
            p90Ms: p50Ms * 1.3,
            p99Ms: p50Ms * 2,
            accuracy,
            loadMs: 300,
            memoryBytes: 1e6,
          };
          return { task, variant, deviceClass, batch, ...rest };
        }),
      ),
    ),
  );
  const fixed = (count: number) => ({
    count,
    min: count,
    max: count,
    startupMs: 0,
    memoryBytes: Number.POSITIVE_INFINITY,
  });
  return {
    seed,
    name: 'simulator',
    durationMs: SECONDS * 1_000,
    windowSeconds: 10,
    tasks: tasks.map((task, index) => ({
      task,
      sloMs: 100,
      minAccuracy: 0.92,
      prefer: 'cost',
      payloadBytes: 3_000,
      answerBytes: 400,
      arrivals: gammaArrivals(
        { perSecond: PER_SECOND / tasks.length, seconds: SECONDS, squaredVariation: 2 },
        seed + index,
      ),
    })),
    profiles,
    fleet: [
      { deviceClass: 'cpu', tier: 'edge', usdPerHour: 0.07, ...fixed(8) },
      { deviceClass: 'gpu', tier: 'pool', usdPerHour: 0.8, ...fixed(4) },
    ],
    browsers: {
      deviceClasses: [{ deviceClass: 'page', share: 0.5 }],
      requestsPerCaller: 20,
      energyUsdPerHour: 0.005,
      cachedShare: 0.3,
      callersAtOnce: 500,
    },
    network: { rtts: [{ rttMs: 30, share: 1 }], bytesPerMs: 2_500 },
    egressUsdPerGb: 0,
    requestUsdPerMillion: 0.3,
  };
}
