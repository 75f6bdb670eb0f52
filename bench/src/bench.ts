import { cpus } from 'node:os';

/** What a benchmark measured, as `nearfar bench <name> --json` prints it. */
export interface BenchResult {
  readonly bench: string;
  readonly machine: string;
  readonly seed?: number;
  readonly metrics: Readonly<Record<string, number>>;
}

/** How a benchmark of a whole mesh starts its parts, as whoever runs it knows. */
export interface MeshPrograms {
  /** A program and its first arguments that together are the `nearfar` command. */
  readonly nearfar: readonly [program: string, ...firstArguments: string[]];
  /** A Chromium with the flags that it needs; gives undefined where none is found. */
  readonly findChromium: () =>
    | { readonly executablePath: string; readonly flags: readonly string[] }
    | undefined;
  /** The folder with data sets and traces; undefined where there is none. */
  readonly dataFolder: string | undefined;
}

/** What a benchmark that runs for minutes is told besides; the others take no notice of it. */
export interface LongRunOptions {
  /** A few small parts, to see that everything works (default false). */
  readonly quick?: boolean;
  /** Seeds, from `seed` on. */
  readonly seeds?: number;
  /** Where finished parts are kept, so that an interrupted run goes on from there; absent = nowhere. */
  readonly resultsFile?: string;
  /** Threads that work at the same time (default: as many as there are cores). */
  readonly threads?: number;
  /** Told the share of the work that is done. */
  readonly onProgress?: (share: number) => void;
}

/** What every benchmark is told. */
export interface BenchOptions extends LongRunOptions {
  readonly seed: number;
  /** Absent where only benchmarks that need no mesh are run. */
  readonly programs?: MeshPrograms;
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
