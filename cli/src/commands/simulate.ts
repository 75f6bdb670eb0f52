import { writeFile } from 'node:fs/promises';
import {
  addOptimum,
  POLICIES,
  readScenario,
  renderReport,
  simulate as runPolicy,
  type SimulationResult,
} from '@nearfar/bench';
import { usageError } from '../exit-error.ts';
import { dataFolder } from '../places.ts';
import { startShareProgress } from '../progress.ts';
import { formatTable } from '../table.ts';

interface SimulateOptions {
  readonly policy: string;
  readonly seed?: number;
  readonly data?: string;
  readonly report?: string;
  /** False with `--no-bound`. */
  readonly bound: boolean;
  readonly clairvoyant?: boolean;
  readonly json?: boolean;
}

/** `nearfar simulate`: runs a scenario under a policy and prints what came of it. */
export async function simulate(file: string, options: SimulateOptions): Promise<void> {
  const createPolicy = POLICIES.get(options.policy);
  if (createPolicy === undefined) {
    throw usageError(
      `Expected --policy to be one of ${[...POLICIES.keys()].join(', ')}, got "${options.policy}"`,
    );
  }
  const folder = dataFolder(options.data);
  const scenario = await readScenario(file, {
    ...(options.seed !== undefined && { seed: options.seed }),
    ...(folder !== undefined && { dataFolder: folder }),
  });
  const policy = await createPolicy(scenario);
  const progress = startShareProgress('simulating');
  let result: SimulationResult;
  try {
    result = runPolicy(scenario, policy, { onProgress: progress.update });
  } finally {
    progress.stop();
  }
  const { bound: withBound, clairvoyant: withClairvoyant = false } = options;
  result = await addOptimum(result, scenario, { withBound, withClairvoyant });
  if (options.report !== undefined) {
    await writeFile(options.report, await renderReport(result));
    process.stderr.write(`Report: ${options.report}\n`);
  }
  process.stdout.write(`${options.json ? JSON.stringify(result) : describe(result)}\n`);
}

function describe(result: SimulationResult): string {
  const { latency_ms: latency, tier_shares: tiers } = result;
  const figures: [string, string][] = [
    ['policy', result.policy],
    ['seed', String(result.seed)],
    ['requests', `${result.requests} in ${figure(result.duration_s)} s of simulated time`],
    ['answered in time', percent(result.attainment)],
    ['late, dropped, refused', `${result.late}, ${result.dropped}, ${result.refused}`],
    ['goodput', `${figure(result.goodput_rps)} on-time answers a second`],
    ['cost', `${usd(result.cost_usd)} (workers as provisioned), ${usd(result.marginal_cost_usd)} (as busy)`],
    ['cost of 1,000 on time', usd(result.cost_per_1000_usd)],
    ['effective accuracy', percent(result.effective_accuracy)],
    [
      'latency',
      `p50 ${figure(latency.p50)}, p95 ${figure(latency.p95)}, p99 ${figure(latency.p99)}, p99.9 ${figure(latency.p999)} ms`,
    ],
    ['tiers', `browser ${percent(tiers.browser)}, edge ${percent(tiers.edge)}, pool ${percent(tiers.pool)}`],
    ...optimum('bound', result.bound),
    ...optimum('clairvoyant', result.clairvoyant),
  ];
  const tasks = formatTable(
    ['task', 'requests', 'in time', 'accuracy', 'p50 ms', 'p99 ms'],
    Object.entries(result.per_task).map(([task, entry]) => [
      task,
      entry.requests,
      percent(entry.attainment),
      percent(entry.effective_accuracy),
      figure(entry.latency_ms.p50),
      figure(entry.latency_ms.p99),
    ]),
  );
  return `${result.scenario} (simulated)\n\n${formatTable(['', ''], figures).trimStart()}\n\n${tasks}`;
}

function optimum(name: string, value: SimulationResult['bound']): [string, string][] {
  if (value === undefined) return [];
  const { attainment, marginal_cost_usd: marginal } = value;
  return [[name, `${percent(attainment)} in time at ${usd(marginal)} (workers as busy)`]];
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}

function figure(value: number): number {
  return Number(value.toPrecision(4));
}

function usd(amount: number | undefined): string {
  return amount === undefined ? 'no answer was in time' : `$${figure(amount)}`;
}
