import { type EvalRule, MeshError } from '@nearfar/protocol';
import type { SourceFiles } from '../source-files.ts';
import { classLabels } from './class-labels.ts';
import { dataPath } from './data-path.ts';
import type { EvalTask, LabelledData } from './eval-task.ts';
import { readIdx } from './idx.ts';
import { identityOf } from './input-rows.ts';
import { pictureArray, pictureAt, pictureRow } from './pictures.ts';
import { readDataFile } from './read-data-file.ts';

/** Opens pictures and labels in two IDX files. */
export async function openIdxData(files: SourceFiles, rule: EvalRule, task: EvalTask): Promise<LabelledData> {
  const toRow = pictureRow(task.preprocess, task.inputs);
  const [imagesPath, labelsPath] = [dataPath(rule, 'images'), dataPath(rule, 'labels')];
  const imagesFile = await readDataFile(files, imagesPath);
  const labelsFile = await readDataFile(files, labelsPath);
  const pictures = readIdx(imagesFile, `"${imagesPath}"`);
  const images = pictureArray(pictures.shape, pictures.data, `"${imagesPath}"`);
  const { shape, data } = readIdx(labelsFile, `"${labelsPath}"`);
  const labels = classLabels(
    { name: 'labels', datatype: 'UINT8', shape, data },
    task.labels,
    `"${labelsPath}"`,
  );
  if (labels.length !== images.count) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected as many labels as pictures, got ${labels.length} in "${labelsPath}" and ${images.count} in "${imagesPath}"`,
    );
  }
  return {
    count: images.count,
    identity: identityOf(['idx', task.preprocess], [imagesFile, labelsFile]),
    inputs: (index) => toRow(pictureAt(images, index)),
    label: (index) => labels[index] ?? 0,
  };
}
