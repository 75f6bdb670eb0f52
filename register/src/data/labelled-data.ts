import { checkSignature, type EvalRule, MeshError } from '@nearfar/protocol';
import type { SourceFiles } from '../source-files.ts';
import type { EvalTask, LabelledData } from './eval-task.ts';
import { openFolderData } from './folder-data.ts';
import { openIdxData } from './idx-data.ts';
import { openNpzData } from './npz-data.ts';

export type { EvalTask, LabelledData } from './eval-task.ts';

/**
 * Opens the labelled data that a manifest's `eval` names. Labels are checked at once, all of them; pictures are decoded one
 * by one when they are asked for, the first one at once.
 *
 * - `idx`: pictures and labels as two IDX files of bytes, plain or packed by gzip, through the task's preprocessing.
 * - `npz`: an array for each input by its name; or one array (`images`, default `x`), either uint8 pictures for the task's
 *   preprocessing or rows of the only input. Labels (`labels`, default `y`) are class indexes or, for the metric `within`,
 *   a row of values each.
 * - `folder`: a folder of PNG and JPEG files for each label, named as the label or by its index.
 *
 * @throws MeshError `MESH_BAD_EVAL_DATA`, naming the file, array or row, what was expected and what was found.
 */
export async function openEvalData(
  files: SourceFiles,
  rule: EvalRule,
  task: EvalTask,
): Promise<LabelledData> {
  if (rule.metric === 'within' && rule.format !== 'npz') {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected format "npz" for the metric "within", whose labels are values, got "${rule.format}"`,
    );
  }
  const data = await openFormat(files, rule, task);
  if (data.count === 0) {
    throw new MeshError('MESH_BAD_EVAL_DATA', 'Expected eval data with at least one row, got none');
  }
  checkFirst(data, task);
  return data;
}

function openFormat(files: SourceFiles, rule: EvalRule, task: EvalTask): Promise<LabelledData> {
  switch (rule.format) {
    case 'idx':
      return openIdxData(files, rule, task);
    case 'npz':
      return openNpzData(files, rule, task);
    case 'folder':
      return openFolderData(files, rule, task);
  }
}

/** Whether the first row is what the model takes; the others are made in the same way. */
function checkFirst(data: LabelledData, { inputs }: EvalTask): void {
  const row = data.inputs(0);
  try {
    checkSignature(row, inputs);
  } catch (cause) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `The eval data do not fit the model: ${(cause as Error).message}`,
      { cause },
    );
  }
}
