/** Looks of the report: light or dark as the reader's system is, one column on a phone. */
export const REPORT_STYLE = `
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1f24; --soft: #5b6570; --line: #d9dee3;
  --one: #1f6feb; --two: #d9730d; --three: #1a7f4b; --alarm: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181d; --ink: #e6eaee; --soft: #9aa5b1; --line: #323a43;
  --one: #6aa6ff; --two: #f0a35a; --three: #56c78b; --alarm: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .25rem 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
header p { margin: .25rem 0; color: var(--soft); } header b { color: var(--ink); }
header .kind { display: inline-block; border: 1px solid var(--alarm); color: var(--alarm); border-radius: .25rem;
  padding: 0 .5rem; font-size: .875rem; }
.headline { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .75rem; margin: 1rem 0; }
.headline div { border: 1px solid var(--line); border-radius: .5rem; padding: .75rem; }
.headline b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.headline span { color: var(--soft); font-size: .875rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: .5rem; padding: .5rem; min-width: 0; }
figcaption { font-size: .875rem; font-weight: 600; padding: 0 .25rem .25rem; }
.u-legend { font-size: .8125rem; text-align: left; } .u-legend th { font-weight: 400; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9375rem; }
.wide { overflow-x: auto; white-space: nowrap; } section > table { width: 100%; }
section th, section td { text-align: left; padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; } section th[scope=row] { font-weight: 400; color: var(--soft); }
.plots .u-legend th, .plots .u-legend td { border: 0; padding: 0 .25rem; }
`;
