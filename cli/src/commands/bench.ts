import { BENCHES, type BenchResult, describeMachine, type MeshPrograms } from '@nearfar/bench';
import { CHROMIUM_FLAGS, findChromium } from '#find-chromium';
import { usageError } from '../exit-error.ts';
import { dataFolder, launcher } from '../places.ts';
import { startShareProgress } from '../progress.ts';
import { formatTable } from '../table.ts';

interface BenchOptions {
  readonly seed: number;
  readonly quick?: boolean;
  readonly seeds?: number;
  readonly out?: string;
  readonly threads?: number;
  readonly data?: string;
  readonly json?: boolean;
}

/** `nearfar bench [name]`: runs a benchmark, or lists them. */
export async function bench(name: string | undefined, options: BenchOptions): Promise<void> {
  const { seed, json } = options;
  if (name === undefined) {
    if (json) {
      const list = BENCHES.map(({ name: own, description }) => ({ bench: own, description }));
      process.stdout.write(`${JSON.stringify(list)}\n`);
      return;
    }
    const rows = BENCHES.map((entry) => [entry.name, entry.description]);
    process.stdout.write(`${formatTable(['bench', 'what it measures'], rows)}\n`);
    return;
  }
  const found = BENCHES.find((entry) => entry.name === name);
  if (found === undefined) {
    const names = BENCHES.map((entry) => entry.name).join(', ');
    throw usageError(`Expected a benchmark (${names}), got "${name}"`);
  }
  const say = (line: string) => process.stderr.write(`${line}\n`);
  const { quick = false, seeds, out, threads, data } = options;
  const programs = meshPrograms(dataFolder(data));
  const progress = startShareProgress(found.name);
  let metrics: BenchResult['metrics'];
  try {
    metrics = await found.run({
      seed,
      say,
      programs,
      quick,
      ...(seeds !== undefined && { seeds }),
      ...(out !== undefined && { resultsFile: out }),
      ...(threads !== undefined && { threads }),
      onProgress: progress.update,
    });
  } finally {
    progress.stop();
  }
  const result: BenchResult = { bench: found.name, machine: describeMachine(), seed, metrics };
  if (json) {
    process.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  const rows = Object.entries(metrics).map(([metric, value]) => [metric, Number(value.toPrecision(4))]);
  process.stdout.write(`${result.machine}, seed ${seed}\n${formatTable(['metric', 'value'], rows)}\n`);
}

/** What a benchmark of a whole mesh starts. */
function meshPrograms(folder: string | undefined): MeshPrograms {
  return {
    nearfar: [process.execPath, launcher()],
    findChromium() {
      const executablePath = findChromium();
      return executablePath === undefined ? undefined : { executablePath, flags: CHROMIUM_FLAGS };
    },
    dataFolder: folder,
  };
}
