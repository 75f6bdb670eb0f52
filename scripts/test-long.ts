// Runs a long test in full size and writes what came of it into docs/: npm run test:long -- <name> [option]...
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A long test: what runs it, and where its results go. */
interface LongTest {
  /** Arguments of the `nearfar` command before `--out <file>`; those of the caller come last. The command writes `<file>.md`. */
  readonly command: readonly string[];
  /** The page that the Markdown goes into. */
  readonly page: string;
}

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CACHE = join(ROOT, 'node_modules', '.cache');
const BEGIN = '<!-- results: begin -->';
const END = '<!-- results: end -->';

const TESTS: Readonly<Record<string, LongTest>> = {
  placement: { command: ['bench', 'placement', '--json'], page: 'docs/placement-results.md' },
};

const [name = '', ...given] = process.argv.slice(2);
const test = TESTS[name];
if (test === undefined) {
  process.stderr.write(
    `Expected a long test (${Object.keys(TESTS).join(', ')}), got "${name}": npm run test:long -- <name>\n`,
  );
  process.exitCode = 2;
} else process.exitCode = run(test);

function run({ command, page }: LongTest): number {
  // An interrupted run is gone on with by the same code only; what a changed checkout had run says nothing of its changes.
  const { commit, isChanged } = code();
  const results = join(CACHE, `nearfar-${name}-${commit}.jsonl`);
  const tables = `${results}.md`;
  for (const file of isChanged ? [results, tables] : [tables]) rmSync(file, { force: true });
  const nearfar = join(ROOT, 'cli', 'bin', 'nearfar.js');
  const { status } = spawnSync(process.execPath, [nearfar, ...command, '--out', results, ...given], {
    stdio: 'inherit',
  });
  if (status !== 0) return 1;
  if (!existsSync(tables)) throw new Error(`Expected the results in "${tables}"`);
  const state = isChanged ? `${commit} with changes` : commit;
  record(join(ROOT, page), { state, results: readFileSync(tables, 'utf8') });
  process.stderr.write(`Results: ${page}\n`);
  return 0;
}

/** Puts results between the page's marks, with the state of the code and the machine that they come from. */
function record(
  page: string,
  { state, results }: { readonly state: string; readonly results: string },
): void {
  const text = readFileSync(page, 'utf8');
  const from = text.indexOf(BEGIN);
  const to = text.indexOf(END);
  if (from < 0 || to < from) throw new Error(`Expected "${BEGIN}" and "${END}" in "${page}"`);
  const [first] = cpus();
  const origin = `Commit ${state}, ${cpus().length} × ${first?.model.trim()}, Node ${process.versions.node}.`;
  const before = text.slice(0, from + BEGIN.length);
  writeFileSync(page, `${before}\n\n${origin}\n\n${results.trim()}\n\n${text.slice(to)}`);
}

/** The commit that is checked out, and whether tracked files are not as it has them. */
function code(): { readonly commit: string; readonly isChanged: boolean } {
  const git = (...words: string[]) => spawnSync('git', words, { cwd: ROOT, encoding: 'utf8' }).stdout.trim();
  return {
    commit: git('rev-parse', '--short', 'HEAD'),
    isChanged: git('status', '--porcelain', '--untracked-files=no') !== '',
  };
}
