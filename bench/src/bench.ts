import { cpus } from 'node:os';

/** What a benchmark measured, as `nearfar bench <name> --json` prints it. */
export interface BenchResult {
  readonly bench: string;
  readonly machine: string;
  readonly seed?: number;
  readonly metrics: Readonly<Record<string, number>>;
}

/** What every benchmark is told. */
export interface BenchOptions {
  readonly seed: number;
  /** Takes a line of progress for people; never part of the result. */
  readonly say: (line: string) => void;
}

/** A benchmark by its name on the command line. */
export interface Bench {
  readonly name: string;
  /** One line for `nearfar bench --help`. */
  readonly description: string;
  run(options: BenchOptions): Promise<Readonly<Record<string, number>>>;
}

/** Processor and runtime in words: figures of different machines are not compared. */
export function describeMachine(): string {
  const [first] = cpus();
  return `${cpus().length} × ${first?.model.trim() ?? 'unknown processor'}, Node ${process.versions.node}`;
}
