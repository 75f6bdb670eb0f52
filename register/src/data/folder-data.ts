import { posix } from 'node:path';
import { type EvalRule, LIMITS, MeshError } from '@nearfar/protocol';
import type { SourceFiles } from '../source-files.ts';
import { knownLabels } from './class-labels.ts';
import type { EvalTask, LabelledData } from './eval-task.ts';
import { identityOf } from './input-rows.ts';
import { decodePicture, MAX_PICTURE_BYTES, pictureRow } from './pictures.ts';
import { readDataFile } from './read-data-file.ts';

/** Largest sum of all picture files: they are held as they are, and decoded one by one. */
const MAX_FOLDER_BYTES = LIMITS.maxArtifactBytes;
/** Names that a message lists. */
const MAX_NAMED = 5;

interface LabelledPicture {
  readonly path: string;
  readonly label: number;
}

/** Opens a folder that holds a folder of pictures for each label. */
export async function openFolderData(
  files: SourceFiles,
  rule: EvalRule,
  task: EvalTask,
): Promise<LabelledData> {
  if (rule.directory === undefined) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      'Expected "eval.directory" to name the folder that holds a folder for each label, got none',
    );
  }
  const toRow = pictureRow(task.preprocess, task.inputs);
  const directory = posix.normalize(rule.directory).replace(/\/$/, '');
  const found = await files.list(directory);
  const pictures = labelPictures(found, directory, knownLabels(task.labels));
  const contents: Uint8Array[] = [];
  let leftBytes = MAX_FOLDER_BYTES;
  for (const { path } of pictures) {
    const content = await readDataFile(files, path, Math.min(leftBytes, MAX_PICTURE_BYTES));
    leftBytes -= content.byteLength;
    contents.push(content);
  }
  return {
    count: pictures.length,
    identity: identityOf(['folder', task.preprocess, pictures], contents),
    inputs: (index) => {
      const { path = '' } = pictures[index] ?? {};
      return toRow(decodePicture(contents[index] ?? new Uint8Array(), path));
    },
    label: (index) => pictures[index]?.label ?? 0,
  };
}

/** The pictures with their labels; hidden files, and what lies beside the folders, are no data. */
function labelPictures(
  paths: readonly string[],
  directory: string,
  labels: readonly string[],
): LabelledPicture[] {
  const unknown = new Set<string>();
  const noPictures: string[] = [];
  const pictures: LabelledPicture[] = [];
  for (const path of paths) {
    const [folder = '', ...rest] = posix.relative(directory, path).split('/');
    const name = rest.at(-1);
    if (name === undefined || [folder, ...rest].some((part) => part.startsWith('.'))) continue;
    const label = labelOf(folder, labels);
    if (label === undefined) unknown.add(folder);
    else if (!/\.(png|jpe?g)$/i.test(name)) noPictures.push(path);
    else pictures.push({ path, label });
  }
  if (unknown.size > 0) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected the folders in "${directory}" to be named as the labels or by their index (0 to ${labels.length - 1}), found ${listed([...unknown])}`,
    );
  }
  if (noPictures.length > 0) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected PNG and JPEG files (.png, .jpg, .jpeg) in the folders of "${directory}", found ${listed(noPictures)}`,
    );
  }
  if (pictures.length === 0) {
    throw new MeshError(
      'MESH_BAD_EVAL_DATA',
      `Expected "${directory}" to hold folders with pictures, found none`,
    );
  }
  return pictures;
}

/** A name goes before an index: the label "3" is meant by the folder "3" wherever it stands in the list. */
function labelOf(folder: string, labels: readonly string[]): number | undefined {
  const named = labels.indexOf(folder);
  if (named >= 0) return named;
  const index = /^\d{1,9}$/.test(folder) ? Number(folder) : undefined;
  return index !== undefined && index < labels.length ? index : undefined;
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, MAX_NAMED).map((name) => `"${name}"`);
  const more = names.length - shown.length;
  return shown.join(', ') + (more > 0 ? ` and ${more} more` : '');
}
