import { callMesh, type MeshAddress } from '../mesh-client.ts';
import { formatTable } from '../table.ts';

interface PlanOptions extends MeshAddress {
  readonly json?: boolean;
}

/** What of `GET /v1/plan` is printed. */
interface PlanBody {
  readonly epoch: number;
  readonly source: string;
  readonly ageMs: number;
  readonly tookMs: number;
  readonly objectiveUsdPerHour: number;
  /** Absent where there is no bound. */
  readonly gap?: number;
  readonly unservedPerSecond: number;
  readonly demands: readonly {
    readonly task: string;
    readonly requestsPerSecond: number;
    readonly sloMs: number;
    readonly minAccuracy: number;
    readonly tiers: readonly string[];
  }[];
  readonly placements: readonly {
    readonly workerClass: string;
    readonly workers: number;
    readonly neededWorkers: number;
    readonly replicas: readonly {
      readonly task: string;
      readonly variant: string;
      readonly replicas: number;
    }[];
  }[];
  readonly prices: {
    readonly prices: readonly {
      readonly tier: string;
      readonly deviceClass: string;
      readonly picoUsdPerMs: number;
    }[];
  };
}

/** Picodollars of a millisecond as dollars of an hour. */
const USD_PER_HOUR = 3.6e6 / 1e12;

/** `nearfar plan`: prints what the slow loop found last. */
export async function plan(options: PlanOptions): Promise<void> {
  const body = (await callMesh(options, '/v1/plan')) as { readonly plan: PlanBody | null };
  if (options.json) process.stdout.write(`${JSON.stringify(body)}\n`);
  else if (body.plan === null)
    process.stdout.write('There is no plan yet: the first one comes after some seconds.\n');
  else process.stdout.write(`${describe(body.plan)}\n`);
}

function describe(found: PlanBody): string {
  const { epoch, source, ageMs, tookMs, objectiveUsdPerHour, gap, unservedPerSecond } = found;
  const facts = [
    [
      'made',
      `${(ageMs / 1_000).toFixed(1)} s ago by the ${source} in ${tookMs.toFixed(1)} ms (number ${epoch})`,
    ],
    ['cost', `${figure(objectiveUsdPerHour)} USD an hour, misses and loads included`],
    ...(gap === undefined ? [] : [['gap', `${(gap * 100).toFixed(1)} % above the bound`]]),
    ['not served', `${figure(unservedPerSecond)} requests a second`],
  ];
  const demands = found.demands.map(({ task, requestsPerSecond, sloMs, minAccuracy, tiers }) => [
    task,
    figure(requestsPerSecond),
    sloMs,
    minAccuracy,
    tiers.join(' '),
  ]);
  const replicas = found.placements.flatMap(({ workerClass, replicas: ofClass }) =>
    ofClass.map(({ task, variant, replicas: count }) => [workerClass, task, variant, count]),
  );
  const workers = found.placements.map(({ workerClass, workers: there, neededWorkers }) => {
    return [workerClass, there, neededWorkers];
  });
  const prices = found.prices.prices.map(({ tier, deviceClass, picoUsdPerMs }) => [
    tier,
    deviceClass,
    figure(picoUsdPerMs * USD_PER_HOUR),
  ]);
  return [
    formatTable(['plan', ''], facts),
    table('No demand is expected.', ['expected of', 'a second', 'SLO ms', 'accuracy', 'tiers'], demands),
    table('No workers.', ['workers of', 'there', 'needed'], workers),
    table('No replicas are wanted.', ['on each of', 'task', 'variant', 'replicas'], replicas),
    table('Nothing is scarce.', ['price in', 'device class', 'USD per busy hour'], prices),
  ].join('\n\n');
}

function table(
  empty: string,
  header: readonly string[],
  rows: readonly (readonly (string | number)[])[],
): string {
  return rows.length === 0 ? empty : formatTable(header, rows);
}

function figure(value: number): number {
  return Number(value.toPrecision(3));
}
