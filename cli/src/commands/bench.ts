import { BENCHES, type BenchResult, describeMachine } from '@nearfar/bench';
import { usageError } from '../exit-error.ts';
import { formatTable } from '../table.ts';

interface BenchOptions {
  readonly seed: number;
  readonly json?: boolean;
}

/** `nearfar bench [name]`: runs a benchmark, or lists them. */
export async function bench(name: string | undefined, { seed, json }: BenchOptions): Promise<void> {
  if (name === undefined) {
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
  const metrics = await found.run({ seed, say });
  const result: BenchResult = { bench: found.name, machine: describeMachine(), seed, metrics };
  if (json) {
    process.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  const rows = Object.entries(metrics).map(([metric, value]) => [metric, Number(value.toPrecision(4))]);
  process.stdout.write(`${result.machine}, seed ${seed}\n${formatTable(['metric', 'value'], rows)}\n`);
}
