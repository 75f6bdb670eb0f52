import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SimulationResult, TierShares } from '../simulator/result.ts';
import { REPORT_SCRIPT } from './report-script.ts';
import { REPORT_STYLE } from './report-style.ts';

/**
 * A run as one HTML page that needs nothing else: plots over simulated time (load, attainment, cost, tier shares, latency) and
 * the table of figures. The plots are drawn by uPlot, which is part of the page.
 */
export async function renderReport(result: SimulationResult): Promise<string> {
  const folder = dirname(fileURLToPath(import.meta.resolve('uplot')));
  const [script, style] = await Promise.all([
    readFile(join(folder, 'uPlot.iife.min.js'), 'utf8'),
    readFile(join(folder, 'uPlot.min.css'), 'utf8'),
  ]);
  const title = `${result.policy} on ${result.scenario}`;
  const data = { seconds: result.window_s, until: result.duration_s, windows: result.windows };
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<title>${escapeHtml(title)}: simulation</title>
<style>${style}
${REPORT_STYLE}</style>
</head>
<body>
<header>
<p class="kind">Simulation, not a measurement</p>
<h1>${escapeHtml(result.scenario)}</h1>
<p>Policy <b>${escapeHtml(result.policy)}</b>, seed ${result.seed}, ${count(result.requests)} requests in ${duration(result.duration_s)} of simulated time. Points are means over ${duration(result.window_s)}, by the time of arrival; money by when it was spent.</p>
</header>
<main>
<section class="headline">${headline(result)}</section>
<section class="plots">
${PLOTS.map(([id, name]) => `<figure><figcaption>${name}</figcaption><div id="${id}" role="img" aria-label="${name} over simulated time"></div></figure>`).join('\n')}
</section>
<section>
<h2>Figures</h2>
${table(result)}
<h2>Tasks</h2>
${taskTable(result)}
</section>
</main>
<script>${closeless(script)}</script>
<script>const DATA = ${closeless(JSON.stringify(data))};
${REPORT_SCRIPT}</script>
</body>
</html>
`;
}

const PLOTS = [
  ['load', 'Load: requests that arrived and on-time answers, a second'],
  ['attainment', 'Attainment: share answered in time'],
  ['cost', 'Cost, US dollars an hour'],
  ['tiers', 'Tiers: shares of the answers'],
  ['latency', 'Latency of the answers, milliseconds'],
] as const;

function headline(result: SimulationResult): string {
  const cells = [
    ['answered in time', percent(result.attainment)],
    ['on-time answers a second', figure(result.goodput_rps)],
    ['cost of 1,000 on-time answers', usd(result.cost_per_1000_usd)],
    ['p99 latency', `${figure(result.latency_ms.p99)} ms`],
  ];
  return cells.map(([name, value]) => `<div><b>${value}</b><span>${name}</span></div>`).join('');
}

function table(result: SimulationResult): string {
  const { latency_ms: latency, cost_parts_usd: parts } = result;
  const rows: [string, string][] = [
    ['Requests', count(result.requests)],
    ['Attainment', percent(result.attainment)],
    ['Late, dropped, refused', [result.late, result.dropped, result.refused].map(count).join(', ')],
    ['Goodput', `${figure(result.goodput_rps)} a second`],
    ['Effective accuracy', percent(result.effective_accuracy)],
    [
      'Latency p50, p95, p99, p99.9',
      `${[latency.p50, latency.p95, latency.p99, latency.p999].map(figure).join(', ')} ms`,
    ],
    ['Browser, edge, pool', tierText(result.tier_shares)],
    ['Cost with provisioned workers', usd(result.cost_usd)],
    ['Cost with busy workers (marginal)', usd(result.marginal_cost_usd)],
    [
      'of which provisioned or busy',
      `${usd(parts.provisioned)} or ${usd(parts.busy)}, loads ${usd(parts.loads)}`,
    ],
    ['of which egress, requests, energy', [parts.egress, parts.requests, parts.energy].map(usd).join(', ')],
    ['Mean batch', figure(result.mean_batch)],
    ['Loads, downloads', `${count(result.loads)}, ${count(result.downloads)}`],
    ['Callers', count(result.callers)],
    ...boundRows(result),
  ];
  return `<table>${rows.map(([name, value]) => `<tr><th scope="row">${name}</th><td>${value}</td></tr>`).join('')}</table>`;
}

function boundRows({ bound, clairvoyant }: SimulationResult): [string, string][] {
  const row = (name: string, optimum: SimulationResult['bound']): [string, string][] =>
    optimum === undefined
      ? []
      : [
          [
            `${name}: attainment, marginal cost`,
            `${percent(optimum.attainment)}, ${usd(optimum.marginal_cost_usd)}`,
          ],
        ];
  return [...row('Bound', bound), ...row('Clairvoyant', clairvoyant)];
}

function taskTable({ per_task: tasks }: SimulationResult): string {
  const header = ['Task', 'Requests', 'In time', 'Accuracy', 'p50 ms', 'p99 ms', 'Browser, edge, pool'];
  const rows = Object.entries(tasks).map(([task, result]) => [
    escapeHtml(task),
    count(result.requests),
    percent(result.attainment),
    percent(result.effective_accuracy),
    figure(result.latency_ms.p50),
    figure(result.latency_ms.p99),
    tierText(result.tier_shares),
  ]);
  return `<div class="wide"><table><thead><tr>${header.map((name) => `<th scope="col">${name}</th>`).join('')}</tr></thead><tbody>${rows
    .map((cells) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`)
    .join('')}</tbody></table></div>`;
}

function tierText({ browser, edge, pool }: TierShares): string {
  return [browser, edge, pool].map(percent).join(', ');
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}

function usd(amount: number | undefined): string {
  return amount === undefined ? 'none' : `$${amount === 0 ? '0' : Number(amount.toPrecision(4))}`;
}

function figure(value: number): string {
  return String(Number(value.toPrecision(4)));
}

function count(value: number): string {
  return value.toLocaleString('en');
}

function duration(seconds: number): string {
  if (seconds < 120) return `${figure(seconds)} s`;
  return seconds < 7_200 ? `${figure(seconds / 60)} minutes` : `${figure(seconds / 3_600)} hours`;
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

/** Text that cannot end the script that it stands in. */
function closeless(text: string): string {
  return text.replaceAll('</', '<\\/').replaceAll('<!--', '<\\!--');
}
