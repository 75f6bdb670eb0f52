import { activatedScores, tensorValues } from '@nearfar/core';
import { type ClassificationPostprocess, float32Values, MeshError, type Tensor } from '@nearfar/protocol';
import type { LabelledRows } from './rows.ts';
import { type RowsRun, runRows } from './run-rows.ts';

/** What a classifier said to each row. */
export interface ClassAnswers {
  /** Index of the best label. */
  readonly best: Int32Array;
  /** Its score after the activation, 0 to 1. */
  readonly confidence: Float32Array;
  /** 1 where the answer is right; all 0 without labels. */
  readonly right: Uint8Array;
}

/** How a classifier's output is read. */
export interface Classifier {
  readonly rule: ClassificationPostprocess;
  readonly labels: readonly string[];
}

type Run = Omit<RowsRun, 'onRow'>;

/** Asks a classifier about rows; `labelled` says what is right where it is known. */
export async function classifyRows(
  run: Run,
  { rule, labels }: Classifier,
  labelled: LabelledRows | undefined,
): Promise<ClassAnswers> {
  const count = run.positions.length;
  const answers = {
    best: new Int32Array(count),
    confidence: new Float32Array(count),
    right: new Uint8Array(count),
  };
  await runRows({
    ...run,
    onRow: (index, outputs) => {
      const scores = activatedScores(outputs, rule, labels);
      const best = indexOfLargest(scores);
      answers.best[index] = best;
      answers.confidence[index] = scores[best] ?? 0;
      const label = labelled?.label(run.positions[index] ?? 0);
      if (label !== undefined && isRight(scores, best, label, labelled?.metric)) answers.right[index] = 1;
    },
  });
  return answers;
}

function isRight(
  scores: readonly number[],
  best: number,
  label: number | Float32Array,
  metric: LabelledRows['metric'] | undefined,
): boolean {
  if (typeof label !== 'number') return false;
  if (metric !== 'top-5') return best === label;
  const score = scores[label] ?? Number.NEGATIVE_INFINITY;
  return scores.filter((other) => other > score).length < 5;
}

/** The outputs of every row, for tasks whose answer is not a label. */
export async function collectOutputs(run: Run): Promise<(readonly Tensor[])[]> {
  const collected: (readonly Tensor[])[] = [];
  await runRows({
    ...run,
    onRow: (index, outputs) => {
      collected[index] = outputs;
    },
  });
  return collected;
}

/** 1 for each row whose first output has every value that the label says, within the rule's tolerance. */
export async function rightRows(run: Run, labelled: LabelledRows): Promise<Uint8Array> {
  const right = new Uint8Array(run.positions.length);
  await runRows({
    ...run,
    onRow: (index, outputs) => {
      const label = labelled.label(run.positions[index] ?? 0);
      if (isWithin(outputs, label, labelled.tolerance ?? 0)) right[index] = 1;
    },
  });
  return right;
}

function isWithin(outputs: readonly Tensor[], label: number | Float32Array, tolerance: number): boolean {
  const [first] = outputs;
  if (first === undefined) return false;
  const values = numbersOf(first);
  const expected = typeof label === 'number' ? [label] : label;
  if (values.length !== expected.length) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected each label to have ${values.length} values, as output "${first.name}" has, got ${expected.length}`,
    );
  }
  return values.every((value, index) => Math.abs(value - (expected[index] ?? Number.NaN)) <= tolerance);
}

/**
 * How far each row's outputs are from the expected ones: for each output the root mean square of the differences in the row,
 * over the root mean square of the expected output in all rows, and of those the largest. So a row of small values counts by
 * what the output is like elsewhere: a probability of 0.001 instead of 0.002 is no great error. NaN anywhere gives NaN.
 */
export function relativeErrors(
  expected: readonly (readonly Tensor[])[],
  found: readonly (readonly Tensor[])[],
): number[] {
  const names = (expected[0] ?? []).map(({ name }) => name);
  const scales = new Map(
    names.map((name) => [name, rootMeanSquare(expected.map((row) => valuesOf(row, name)))]),
  );
  return expected.map((row, index) => {
    let largest = 0;
    for (const [name, scale] of scales) {
      const known = valuesOf(row, name);
      const given = valuesOf(found[index] ?? [], name);
      const differences = Array.from(known, (value, position) => value - (given[position] ?? Number.NaN));
      const error = rootMeanSquare([differences]) / (scale > 0 ? scale : 1);
      if (Number.isNaN(error)) return error;
      largest = Math.max(largest, error);
    }
    return largest;
  });
}

function valuesOf(row: readonly Tensor[], name: string): readonly number[] | Float32Array {
  const tensor = row.find((entry) => entry.name === name);
  return tensor === undefined ? [] : numbersOf(tensor);
}

function rootMeanSquare(parts: readonly (readonly number[] | Float32Array)[]): number {
  let squares = 0;
  let count = 0;
  for (const part of parts) {
    for (const value of part) squares += value * value;
    count += part.length;
  }
  return count === 0 ? 0 : Math.sqrt(squares / count);
}

/** Whether every element is a finite number. */
export function areFinite(outputs: readonly Tensor[]): boolean {
  return outputs.every((output) => numbersOf(output).every((value) => Number.isFinite(value)));
}

/** The elements of a tensor as numbers; 64-bit ones lose what a double cannot hold. */
function numbersOf(tensor: Tensor): readonly number[] | Float32Array {
  if (tensor.datatype === 'FP32') return float32Values(tensor);
  return Array.from<number | bigint, number>(tensorValues(tensor), Number);
}

function indexOfLargest(values: readonly number[]): number {
  let best = 0;
  for (const [index, value] of values.entries())
    if (value > (values[best] ?? Number.NEGATIVE_INFINITY)) best = index;
  return best;
}
