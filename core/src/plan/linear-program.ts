import type { LinearProgram } from '../ports/solver.ts';

/** Most columns, rows or entries of a program; a plan of 200 variants on 30 classes has about a tenth. */
const MAX_PROGRAM_SIZE = 2_000_000;

/** Puts a linear program together, entry by entry. */
export class LinearProgramBuilder {
  readonly #costs: number[] = [];
  readonly #lowers: number[] = [];
  readonly #uppers: number[] = [];
  readonly #integers: number[] = [];
  readonly #rowLowers: number[] = [];
  readonly #rowUppers: number[] = [];
  readonly #starts: number[] = [0];
  readonly #columns: number[] = [];
  readonly #coefficients: number[] = [];

  /** Adds a column from 0 to `upper`; returns its index. */
  column(cost: number, upper = Number.POSITIVE_INFINITY, { lower = 0, isInteger = false } = {}): number {
    this.#integers.push(isInteger ? 1 : 0);
    this.#lowers.push(lower);
    this.#uppers.push(upper);
    return this.#costs.push(cost) - 1;
  }

  /** Adds an entry to the row that `endRow` ends next. A column comes once in a row at most. */
  entry(column: number, coefficient: number): void {
    this.#columns.push(column);
    this.#coefficients.push(coefficient);
  }

  /** Ends a row with its bounds; returns its index. */
  endRow(lower: number, upper: number): number {
    this.#starts.push(this.#columns.length);
    this.#rowLowers.push(lower);
    return this.#rowUppers.push(upper) - 1;
  }

  build(): LinearProgram {
    return {
      columns: {
        costs: Float64Array.from(this.#costs),
        lowers: Float64Array.from(this.#lowers),
        uppers: Float64Array.from(this.#uppers),
        ...(this.#integers.includes(1) && { integers: Uint8Array.from(this.#integers) }),
      },
      rows: {
        lowers: Float64Array.from(this.#rowLowers),
        uppers: Float64Array.from(this.#rowUppers),
        starts: Int32Array.from(this.#starts),
        columns: Int32Array.from(this.#columns),
        coefficients: Float64Array.from(this.#coefficients),
      },
    };
  }
}

/**
 * Checks that a program's parts fit each other; drivers call it before they hand the program to a solver.
 *
 * @throws RangeError that names the part.
 */
export function checkLinearProgram({ columns, rows }: LinearProgram): void {
  const columnCount = columns.costs.length;
  const rowCount = rows.lowers.length;
  const entryCount = rows.columns.length;
  for (const [what, count] of Object.entries({ columns: columnCount, rows: rowCount, entries: entryCount })) {
    if (count > MAX_PROGRAM_SIZE)
      throw new RangeError(`Expected at most ${MAX_PROGRAM_SIZE} ${what}, got ${count}`);
  }
  checkLength('column lowers', columns.lowers, columnCount);
  checkLength('column uppers', columns.uppers, columnCount);
  if (columns.integers !== undefined) checkLength('integers', columns.integers, columnCount);
  checkLength('row uppers', rows.uppers, rowCount);
  checkLength('row starts', rows.starts, rowCount + 1);
  checkLength('coefficients', rows.coefficients, entryCount);
  if (!columns.costs.every(Number.isFinite)) throw new RangeError('Expected costs to be finite numbers');
  if (!rows.coefficients.every(Number.isFinite)) {
    throw new RangeError('Expected coefficients to be finite numbers');
  }
  checkBounds('column', columns.lowers, columns.uppers);
  checkBounds('row', rows.lowers, rows.uppers);
  if (rows.starts[0] !== 0 || rows.starts[rowCount] !== entryCount) {
    throw new RangeError(`Expected row starts from 0 to ${entryCount}`);
  }
  for (let row = 0; row < rowCount; row += 1) {
    if ((rows.starts[row + 1] ?? 0) < (rows.starts[row] ?? 0)) {
      throw new RangeError(`Expected row starts that do not fall, row ${row} ends before it starts`);
    }
  }
  for (const column of rows.columns) {
    if (!(column >= 0 && column < columnCount)) {
      throw new RangeError(`Expected entries of columns 0 to ${columnCount - 1}, got ${column}`);
    }
  }
}

function checkLength(what: string, array: { readonly length: number }, expected: number): void {
  if (array.length !== expected)
    throw new RangeError(`Expected ${expected} entries of ${what}, got ${array.length}`);
}

function checkBounds(what: string, lowers: Float64Array, uppers: Float64Array): void {
  for (const [index, lower] of lowers.entries()) {
    const upper = uppers[index] ?? Number.NaN;
    // A lower bound above the upper one is a program without a solution, not a malformed one.
    if (Number.isNaN(lower) || Number.isNaN(upper)) {
      throw new RangeError(`Expected bounds of ${what} ${index} to be numbers, got ${lower} and ${upper}`);
    }
  }
}
