// Runs a long test in full size and writes what came of it into docs/: npm run test:long -- <name> [option]...
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A long test: what runs it, and where its results go. */
interface LongTest {
  /** Arguments of the `nearfar` command; those of the caller come after them. */
  readonly command: readonly string[];
  /** Written by the command: Markdown for the page. */
  readonly tables: string;
  readonly page: string;
}

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CACHE = join(ROOT, 'node_modules', '.cache');
const PLACEMENT = join(CACHE, 'nearfar-placement.jsonl');
const BEGIN = '<!-- results: begin -->';
const END = '<!-- results: end -->';

const TESTS: Readonly<Record<string, LongTest>> = {
  placement: {
    command: ['bench', 'placement', '--json', '--out', PLACEMENT],
    tables: `${PLACEMENT}.md`,
    page: 'docs/placement-results.md',
  },
};

const [name = '', ...given] = process.argv.slice(2);
const test = TESTS[name];
if (test === undefined) {
  process.stderr.write(
    `Expected a long test (${Object.keys(TESTS).join(', ')}), got "${name}": npm run test:long -- <name>\n`,
  );
  process.exitCode = 2;
} else process.exitCode = run(test);

function run({ command, tables, page }: LongTest): number {
  const nearfar = join(ROOT, 'cli', 'bin', 'nearfar.js');
  const { status } = spawnSync(process.execPath, [nearfar, ...command, ...given], { stdio: 'inherit' });
  if (status !== 0) return 1;
  if (!existsSync(tables)) throw new Error(`Expected the results in "${tables}"`);
  record(join(ROOT, page), readFileSync(tables, 'utf8'));
  process.stderr.write(`Results: ${page}\n`);
  return 0;
}

/** Puts results between the page's marks, with the commit and the machine that they come from. */
function record(page: string, results: string): void {
  const text = readFileSync(page, 'utf8');
  const from = text.indexOf(BEGIN);
  const to = text.indexOf(END);
  if (from < 0 || to < from) throw new Error(`Expected "${BEGIN}" and "${END}" in "${page}"`);
  const [first] = cpus();
  const origin = `Commit ${commit()}, ${cpus().length} × ${first?.model.trim()}, Node ${process.versions.node}.`;
  const before = text.slice(0, from + BEGIN.length);
  writeFileSync(page, `${before}\n\n${origin}\n\n${results.trim()}\n\n${text.slice(to)}`);
}

function commit(): string {
  const git = (...words: string[]) => spawnSync('git', words, { cwd: ROOT, encoding: 'utf8' }).stdout.trim();
  const isChanged = git('status', '--porcelain', '--untracked-files=no') !== '';
  return `${git('rev-parse', '--short', 'HEAD')}${isChanged ? ' with changes' : ''}`;
}
