import { type LinearProgram, LinearProgramBuilder, type Solver } from '@nearfar/core';
import { describe, expect, test } from 'vitest';

const LIMIT = { timeLimitMs: 10_000 };

interface Row {
  readonly of: readonly number[];
  readonly from?: number;
  readonly to?: number;
}

/** A program out of dense rows; columns are from 0 on. */
function program(
  costs: readonly number[],
  rows: readonly Row[],
  { uppers = [] as readonly number[], integers = false } = {},
): LinearProgram {
  const builder = new LinearProgramBuilder();
  costs.forEach((cost, index) => {
    builder.column(cost, uppers[index], { isInteger: integers });
  });
  for (const { of, from = Number.NEGATIVE_INFINITY, to = Number.POSITIVE_INFINITY } of rows) {
    of.forEach((coefficient, column) => {
      if (coefficient !== 0) builder.entry(column, coefficient);
    });
    builder.endRow(from, to);
  }
  return builder.build();
}

/** The workshop of every textbook: 40 hours of carpentry, 50 of finishing, chairs earn 30 and tables 50. */
function workshop(carpentry = 40, options = {}): LinearProgram {
  return program(
    [-30, -50],
    [
      { of: [1, 2], to: carpentry },
      { of: [2, 1], to: 50 },
    ],
    options,
  );
}

/** A knapsack problem of equal ratios, whose bound is hard to prove. */
function hard(size: number): LinearProgram {
  const costs = Array.from({ length: size }, (_, index) => -(1_000 + ((index * 7_919) % 997)));
  const rows = Array.from({ length: size / 2 }, (_, row) => ({
    of: costs.map((_cost, column) => 500 + ((column * 613 + row * 1_237 + column * row * 31) % 991)),
    to: size * 240,
  }));
  return program(costs, rows, { uppers: costs.map(() => 1), integers: true });
}

/** What every driver of the solver keeps. */
export function solverContract(driver: string, open: () => Solver): void {
  describe(`Solver contract: ${driver}`, () => {
    async function solving<Value>(use: (solver: Solver) => Promise<Value>): Promise<Value> {
      const solver = open();
      try {
        return await use(solver);
      } finally {
        await solver.close();
      }
    }

    test('finds the least objective, with a dual for each row', async () => {
      const solution = await solving((solver) => solver.solve(workshop(), LIMIT));
      if (solution.kind !== 'optimal') throw new Error(`Expected an optimum, got ${solution.kind}`);
      expect(solution.objective).toBeCloseTo(-1_100, 6);
      expect([...solution.values]).toEqual([expect.closeTo(20, 6), expect.closeTo(10, 6)]);
      expect([...(solution.rowDuals ?? [])]).toEqual([
        expect.closeTo(-70 / 3, 6),
        expect.closeTo(-10 / 3, 6),
      ]);
    });

    test('a dual is what one more unit of a row changes', async () => {
      await solving(async (solver) => {
        const before = await solver.solve(workshop(40), LIMIT);
        const after = await solver.solve(workshop(41), LIMIT);
        if (before.kind !== 'optimal' || after.kind !== 'optimal') throw new Error('Expected two optima');
        expect(after.objective - before.objective).toBeCloseTo(before.rowDuals?.[0] ?? Number.NaN, 6);
      });
    });

    test('a row that does not bind has the dual 0, a lower bound that binds one above 0', async () => {
      const solution = await solving((solver) =>
        solver.solve(
          program(
            [2, 3],
            [
              { of: [1, 1], from: 4 },
              { of: [1, 0], to: 100 },
            ],
          ),
          LIMIT,
        ),
      );
      expect(solution).toMatchObject({ kind: 'optimal', objective: expect.closeTo(8, 6) });
      expect(solution.kind === 'optimal' && [...(solution.rowDuals ?? [])]).toEqual([
        expect.closeTo(2, 6),
        expect.closeTo(0, 6),
      ]);
    });

    test('keeps equations and bounds of columns', async () => {
      const solution = await solving((solver) =>
        solver.solve(program([1, 5], [{ of: [1, 1], from: 10, to: 10 }], { uppers: [7] }), LIMIT),
      );
      expect(solution.kind === 'optimal' && [...solution.values]).toEqual([
        expect.closeTo(7, 6),
        expect.closeTo(3, 6),
      ]);
    });

    test('finds whole numbers where they are asked for, without duals', async () => {
      const solution = await solving((solver) => solver.solve(workshop(41, { integers: true }), LIMIT));
      if (solution.kind !== 'optimal') throw new Error(`Expected an optimum, got ${solution.kind}`);
      // 19 chairs and 11 tables; 19⅔ and 10⅔ without whole numbers.
      expect(solution.objective).toBeCloseTo(-1_120, 6);
      expect(solution.rowDuals).toBeUndefined();
    });

    test('says that nothing keeps all rows, or that nothing is the least', async () => {
      await solving(async (solver) => {
        const contradiction = program(
          [1],
          [
            { of: [1], from: 3 },
            { of: [1], to: 2 },
          ],
        );
        expect(await solver.solve(contradiction, LIMIT)).toEqual({ kind: 'infeasible' });
        const endless = program([-1, 0], [{ of: [1, -1], to: 2 }]);
        expect(await solver.solve(endless, LIMIT)).toEqual({ kind: 'unbounded' });
        expect((await solver.solve(workshop(), LIMIT)).kind).toBe('optimal');
      });
    });

    test('a program without rows, or without columns, has an answer', async () => {
      await solving(async (solver) => {
        expect(await solver.solve(program([2, 3], []), LIMIT)).toMatchObject({
          kind: 'optimal',
          objective: 0,
        });
        expect(await solver.solve(program([], []), LIMIT)).toMatchObject({ kind: 'optimal', objective: 0 });
      });
    });

    test('settles when the time is over, and solves the next program', async () => {
      await solving(async (solver) => {
        const solution = await solver.solve(hard(120), { timeLimitMs: 300, relativeGap: 0 });
        expect(['feasible', 'late']).toContain(solution.kind);
        if (solution.kind === 'feasible') expect(solution.bound).toBeLessThanOrEqual(solution.objective);
        expect((await solver.solve(workshop(), LIMIT)).kind).toBe('optimal');
      });
    });

    test('answers calls in their order', async () => {
      await solving(async (solver) => {
        const order: number[] = [];
        const note = (index: number) => async (problem: LinearProgram) => {
          await solver.solve(problem, LIMIT);
          order.push(index);
        };
        await Promise.all([note(0)(workshop()), note(1)(workshop(10)), note(2)(workshop(5))]);
        expect(order).toEqual([0, 1, 2]);
      });
    });

    test('refuses a malformed program by its part', async () => {
      await solving(async (solver) => {
        const { columns, rows } = workshop();
        const cases: readonly [LinearProgram, RegExp][] = [
          [{ columns: { ...columns, costs: Float64Array.of(1, Number.NaN) }, rows }, /costs/],
          [{ columns: { ...columns, uppers: Float64Array.of(1) }, rows }, /column uppers/],
          [{ columns, rows: { ...rows, columns: Int32Array.of(0, 1, 0, 9) } }, /columns 0 to 1, got 9/],
          [{ columns, rows: { ...rows, lowers: Float64Array.of(Number.NaN, 0) } }, /row 0/],
        ];
        for (const [problem, message] of cases) {
          await expect(solver.solve(problem, LIMIT)).rejects.toThrow(message);
          await expect(solver.solve(problem, LIMIT)).rejects.toThrow(RangeError);
        }
        await expect(solver.solve(workshop(), { timeLimitMs: 0 })).rejects.toThrow(/timeLimitMs/);
      });
    });

    test('after close, rejects what waits and what comes', async () => {
      const solver = open();
      const waiting = [solver.solve(hard(120), LIMIT), solver.solve(workshop(), LIMIT)].map((promise) =>
        expect(promise).rejects.toMatchObject({ code: 'MESH_DRAINING' }),
      );
      await solver.close();
      await solver.close();
      await Promise.all(waiting);
      await expect(solver.solve(workshop(), LIMIT)).rejects.toMatchObject({ code: 'MESH_DRAINING' });
    });
  });
}
