/** What the report does in a page: draws the plots of `DATA` with uPlot, again when colours or width change. */
export const REPORT_SCRIPT = `
const windows = DATA.windows.filter((w) => w.from_s < DATA.until);
const seconds = windows.map((w) => w.from_s + DATA.seconds / 2);
const long = seconds.length > 0 && seconds[seconds.length - 1] > 7200;
const clock = (s) => {
  const whole = Math.round(s);
  const two = (n) => String(n).padStart(2, '0');
  return long ? Math.floor(whole / 3600) + ':' + two(Math.floor(whole / 60) % 60) : Math.floor(whole / 60) + ':' + two(whole % 60);
};
const perHour = 3600 / DATA.seconds;
const percent = (v) => v == null ? '' : (v * 100).toFixed(v > 0.99 && v < 1 ? 2 : 1) + ' %';
const plain = (v) => v == null ? '' : String(Number(v.toPrecision(4)));
const money = (v) => v == null ? '' : '$' + plain(v);
const pick = (key) => windows.map((w) => w[key] ?? null);
const shares = (upTo) => windows.map((w) => {
  const { browser, edge, pool } = w.tier_shares;
  return browser + edge + pool === 0 ? null : [browser, browser + edge, browser + edge + pool][upTo];
});
const PLOTS = [
  { id: 'load', format: plain, lines: [['arrived', '--one', pick('requests_per_s')], ['on time', '--three', pick('goodput_rps')]] },
  { id: 'attainment', format: percent, range: [null, 1], lines: [['in time', '--three', pick('attainment')]] },
  { id: 'cost', format: money, lines: [['provisioned', '--two', pick('cost_usd').map((v) => v * perHour)], ['busy', '--one', pick('marginal_cost_usd').map((v) => v * perHour)]] },
  { id: 'tiers', format: percent, range: [0, 1], areas: true, lines: [
    ['pool', '--two', shares(2), (w) => w.tier_shares.pool], ['edge', '--one', shares(1), (w) => w.tier_shares.edge],
    ['browser', '--three', shares(0), (w) => w.tier_shares.browser]] },
  { id: 'latency', format: plain, lines: [['p99', '--two', pick('p99_ms')], ['p50', '--one', pick('p50_ms')]] },
];
let drawn = [];
function draw() {
  for (const plot of drawn) plot.destroy();
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { stroke: colour('--soft'), grid: { stroke: colour('--line'), width: 1 }, ticks: { stroke: colour('--line'), width: 1 } };
  drawn = PLOTS.map(({ id, format, range, areas, lines }) => {
    const place = document.getElementById(id);
    return new uPlot({
      width: place.clientWidth, height: 220,
      scales: { x: { time: false }, y: { range: (u, low, high) => [range && range[0] !== null ? range[0] : areas || id !== 'attainment' ? 0 : Math.min(low ?? 0, 0.98), range ? range[1] : (high || 1) * 1.05] } },
      axes: [{ ...axis, values: (u, ticks) => ticks.map(clock) }, { ...axis, size: 64, values: (u, ticks) => ticks.map(format) }],
      series: [{ label: 'time', value: (u, v) => v == null ? '' : clock(v) }, ...lines.map(([label, name, , own]) => ({
        label, stroke: colour(name), width: areas ? 0 : 1.5, fill: areas ? colour(name) : undefined, points: { show: seconds.length < 3 },
        value: (u, v, s, index) => format(own && index != null ? own(windows[index]) : v) }))],
    }, [seconds, ...lines.map(([, , values]) => values)], place);
  });
}
draw();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
let width = innerWidth;
addEventListener('resize', () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
`;
