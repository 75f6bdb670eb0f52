import { type EvalRule, MeshError, type Tensor } from '@nearfar/protocol';
import type { SourceFiles } from '../source-files.ts';
import { type ArrayRows, arrayRows, targetRows } from './array-rows.ts';
import { classLabels } from './class-labels.ts';
import { dataPath } from './data-path.ts';
import type { EvalTask, LabelledData } from './eval-task.ts';
import { identityOf } from './input-rows.ts';
import { type NpzFile, openNpz } from './npz.ts';
import { pictureArray, pictureAt, pictureRow } from './pictures.ts';
import { readDataFile } from './read-data-file.ts';

/** Opens inputs and labels in a `.npz` file. */
export async function openNpzData(files: SourceFiles, rule: EvalRule, task: EvalTask): Promise<LabelledData> {
  const path = dataPath(rule, 'file');
  const what = `"${path}"`;
  const file = await readDataFile(files, path);
  const npz = openNpz(file, what);
  const rows = npzRows(npz, rule.images, task, what);
  const label = labelsOf(npz, rule, task, what);
  if (label.count !== rows.count) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected as many labels as rows in ${what}, got ${label.count} labels and ${rows.count} rows`,
    );
  }
  const { format, images, labels, metric } = rule;
  return {
    count: rows.count,
    identity: identityOf([format, images, labels, metric, task.preprocess, task.inputs], [file]),
    inputs: rows.inputs,
    label: label.at,
  };
}

/**
 * The rows of a `.npz` file: of the array `name`; where that is undefined, of an array for each input; where there are no
 * such, of the array `x`.
 *
 * @throws MeshError `MESH_BAD_EVAL_DATA` when the arrays are not there or do not fit.
 */
export function npzRows(
  npz: NpzFile,
  name: string | undefined,
  { preprocess, inputs }: Pick<EvalTask, 'preprocess' | 'inputs'>,
  what: string,
): ArrayRows {
  const own = inputs.map((input) => input.name);
  const names = name === undefined && own.every((input) => npz.names.includes(input)) ? own : [name ?? 'x'];
  const arrays = names.flatMap((wanted) => npz.read(wanted) ?? []);
  const [array] = arrays;
  if (array !== undefined && names.length === 1 && arePictures(array, preprocess)) {
    const toRow = pictureRow(preprocess, inputs);
    const pictures = pictureArray(array.shape, array.data, `array "${array.name}" in ${what}`);
    return { count: pictures.count, inputs: (index) => toRow(pictureAt(pictures, index)) };
  }
  if (array === undefined || arrays.length !== inputs.length) {
    const orOne = inputs.length === 1 ? ` or one named "${name ?? 'x'}"` : '';
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected ${what} to hold an array for each input (${listed(own)})${orOne}, found ${listed(npz.names)}`,
    );
  }
  return arrayRows(inputs, arrays, what);
}

/** Bytes are pictures where the manifest says what to do with pictures. */
function arePictures({ datatype }: Tensor, preprocess: EvalTask['preprocess']): boolean {
  return datatype === 'UINT8' && preprocess?.kind === 'image';
}

function labelsOf(
  npz: NpzFile,
  rule: EvalRule,
  task: EvalTask,
  what: string,
): { readonly count: number; at(index: number): number | Float32Array } {
  const name = rule.labels ?? 'y';
  const array = npz.read(name);
  if (array === undefined) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected ${what} to hold the labels as array "${name}", found ${listed(npz.names)}`,
    );
  }
  if (rule.metric === 'within') {
    if (array.shape.length === 0) {
      throw new MeshError(
        'MESH_BAD_EVAL_DATA',
        `Expected array "${name}" in ${what} to hold values for each row, shape [N, …], got a single number`,
      );
    }
    return targetRows(array);
  }
  const labels = classLabels(array, task.labels, `array "${name}" in ${what}`);
  return { count: labels.length, at: (index) => labels[index] ?? 0 };
}

function listed(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ');
}
