/** Columns of a linear program: what is to be found. All arrays have one entry a column. */
export interface LinearProgramColumns {
  /** What one unit adds to the objective, which is minimised. */
  readonly costs: Float64Array;
  /** Least values; `-Infinity` = none. */
  readonly lowers: Float64Array;
  /** Greatest values; `Infinity` = none. */
  readonly uppers: Float64Array;
  /** 1 where the value has to be a whole number; absent = nowhere. */
  readonly integers?: Uint8Array;
}

/**
 * Rows of a linear program: lower ≤ Σ coefficient × value ≤ upper, equal bounds for an equation. Row `i` has the entries
 * from `starts[i]` to before `starts[i + 1]`, each naming a column at most once.
 */
export interface LinearProgramRows {
  readonly lowers: Float64Array;
  readonly uppers: Float64Array;
  /** One more than there are rows; the last one is the number of entries. */
  readonly starts: Int32Array;
  readonly columns: Int32Array;
  readonly coefficients: Float64Array;
}

/** A linear program, with or without integers, in no solver's own form. */
export interface LinearProgram {
  readonly columns: LinearProgramColumns;
  readonly rows: LinearProgramRows;
}

/** What a solver found. */
export type Solution =
  | {
      /** Proven to be the least, within the solver's tolerances. */
      readonly kind: 'optimal';
      readonly objective: number;
      /** Value of each column. */
      readonly values: Float64Array;
      /**
       * What the objective would change by, for each unit by which a row's bound that holds is raised: at most 0 for an upper
       * bound, at least 0 for a lower one, 0 where neither holds. Absent when the program has integers, which have no duals.
       */
      readonly rowDuals?: Float64Array;
    }
  | {
      /** The time was over; the best so far. */
      readonly kind: 'feasible';
      readonly objective: number;
      /** Nothing is less than this. */
      readonly bound: number;
      readonly values: Float64Array;
    }
  | { readonly kind: 'infeasible' }
  | { readonly kind: 'unbounded' }
  /** The time was over before there was anything to show. */
  | { readonly kind: 'late' };

/** How a program is to be solved. */
export interface SolveOptions {
  /** Milliseconds from when the solver begins with it; above 0. */
  readonly timeLimitMs: number;
  /** Relative gap at which a program with integers counts as solved (default 1e-4). */
  readonly relativeGap?: number;
}

/**
 * Solves linear programs, one after another in the order of the calls, off the thread that asks.
 *
 * Every driver keeps: `solve` neither changes nor keeps the program; equal programs give equal objectives; it settles soon
 * after `timeLimitMs` whatever the program is. It rejects with `RangeError` when the program is malformed, with
 * `MESH_DRAINING` after `close()`, with `MESH_QUEUE_FULL` when it keeps only so many waiting and these are there, and with `MESH_INTERNAL` when the solver fails; a failed solve leaves nothing behind for
 * the next one.
 */
export interface Solver {
  solve(problem: LinearProgram, options: SolveOptions): Promise<Solution>;
  /** Rejects what is waiting or under way. May be called twice. */
  close(): Promise<void>;
}
