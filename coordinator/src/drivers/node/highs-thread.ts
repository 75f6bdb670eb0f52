import { parentPort } from 'node:worker_threads';
import type { LinearProgram, Solution, SolveOptions } from '@nearfar/core';
import createHighs, { type Highs } from 'highs';

/** What the solver sends: one program, and the next one after its reply. */
export interface SolveTask {
  readonly problem: LinearProgram;
  readonly options: SolveOptions;
}

/** What comes back: first that the thread is ready, then one reply for each program. */
export type SolveReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'solution'; readonly solution: Solution }
  | { readonly kind: 'error'; readonly message: string };

const DEFAULT_RELATIVE_GAP = 1e-4;

/** `primal_solution_status` of HiGHS when the values keep all bounds. */
const FEASIBLE_POINT = 2;

// Its types are those of a CommonJS module, what Node loads is an ES module: there the default export is the function.
const loadHighs = createHighs as unknown as typeof createHighs.default;

const port = parentPort;
if (port !== null) {
  const highs = await loadHighs();
  port.on('message', ({ problem, options }: SolveTask) => {
    let reply: SolveReply;
    try {
      reply = { kind: 'solution', solution: solve(highs, problem, options) };
    } catch (cause) {
      reply = { kind: 'error', message: (cause as Error).message };
    }
    port.postMessage(reply);
  });
  port.postMessage({ kind: 'ready' } satisfies SolveReply);
}

function solve(highs: Highs, problem: LinearProgram, options: SolveOptions): Solution {
  const { columns, rows } = problem;
  const hasIntegers = columns.integers?.some((flag) => flag === 1) ?? false;
  const { modelStatus, variableType } = highs.constants;
  const source = {
    numCols: columns.costs.length,
    numRows: rows.lowers.length,
    colCost: columns.costs,
    colLower: columns.lowers,
    colUpper: columns.uppers,
    rowLower: rows.lowers,
    rowUpper: rows.uppers,
    matrix: {
      format: 'csr' as const,
      numRows: rows.lowers.length,
      numCols: columns.costs.length,
      starts: rows.starts,
      indices: rows.columns,
      values: rows.coefficients,
    },
    ...(hasIntegers && {
      integrality: Int32Array.from(columns.integers ?? [], (flag) =>
        flag === 1 ? variableType.integer : variableType.continuous,
      ),
    }),
  };
  return highs.withModel(source, (model): Solution => {
    model.options.set({
      output_flag: false,
      time_limit: options.timeLimitMs / 1_000,
      mip_rel_gap: options.relativeGap ?? DEFAULT_RELATIVE_GAP,
    });
    model.run();
    let status = model.getModelStatus();
    if (status === modelStatus.unboundedOrInfeasible) {
      // Presolve saw that one of the two holds; which one, only the algorithm itself finds out.
      model.options.set({ presolve: 'off' });
      model.run();
      status = model.getModelStatus();
    }
    switch (status) {
      case modelStatus.empty:
        // Not run, so it has no solution to ask for.
        return {
          kind: 'optimal',
          objective: 0,
          values: new Float64Array(columns.costs.length),
          ...(!hasIntegers && { rowDuals: new Float64Array(rows.lowers.length) }),
        };
      case modelStatus.optimal: {
        const { colValue: values, rowDual: rowDuals } = model.getSolution();
        const objective = model.getObjectiveValue();
        return { kind: 'optimal', objective, values, ...(!hasIntegers && { rowDuals }) };
      }
      case modelStatus.infeasible:
        return { kind: 'infeasible' };
      case modelStatus.unbounded:
        return { kind: 'unbounded' };
      case modelStatus.timeLimit: {
        if (!hasIntegers || Number(model.info.get('primal_solution_status')) !== FEASIBLE_POINT) {
          return { kind: 'late' };
        }
        const bound = Number(model.info.get('mip_dual_bound'));
        const { colValue: values } = model.getSolution();
        return { kind: 'feasible', objective: model.getObjectiveValue(), bound, values };
      }
      default:
        throw new Error(`HiGHS ended with model status ${status}`);
    }
  });
}
