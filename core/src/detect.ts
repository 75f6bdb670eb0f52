import {
  type DetectionPostprocess,
  float32Values,
  MeshError,
  type Prediction,
  type Tensor,
} from '@nearfar/protocol';
import { activate } from './activation.ts';

/** Most detections of one picture, as COCO counts them (Lin et al., ECCV 2014: 100 a picture). */
export const MAX_DETECTIONS = 100;

type Box = readonly [x0: number, y0: number, x1: number, y1: number];

interface Detection extends Prediction {
  readonly box: Box;
}

/**
 * Turns the scores and boxes of one picture into detections, best first, at most `MAX_DETECTIONS`:
 *
 * 1. the activation over each box's scores, the background included; 2. the background column is dropped; 3. boxes are
 * clamped to the picture, those of which nothing is left and those below `minScore` are dropped; 4. from the best score
 * down, a box is kept unless it overlaps one of the same label that was kept already by more than `maxOverlap` (greedy
 * non-maximum suppression; Felzenszwalb et al., TPAMI 2010). Equal scores keep the order of the boxes, then of the labels.
 *
 * @throws MeshError `MESH_EXECUTION_FAILED` when the outputs do not fit each other or the labels, or hold a value that is
 * no finite number.
 */
export function detect(
  outputs: readonly Tensor[],
  rule: DetectionPostprocess,
  labels: readonly string[],
): Prediction[] {
  const background = rule.hasBackground ? 1 : 0;
  const columns = labels.length + background;
  const scores = readRows(outputs, rule.scores, columns);
  const boxes = readRows(outputs, rule.boxes, 4);
  if (scores.count !== boxes.count) {
    throw new MeshError(
      'MESH_EXECUTION_FAILED',
      `Expected as many boxes in "${rule.boxes}" as in "${rule.scores}", got ${boxes.count} and ${scores.count}`,
    );
  }

  const found: Detection[] = [];
  for (let index = 0; index < boxes.count; index += 1) {
    const box = clamp(boxes.row(index));
    if (area(box) === 0) continue;
    const activated = activate(scores.row(index), rule.activation);
    for (const [column, label] of labels.entries()) {
      const score = activated[column + background] ?? 0;
      if (score >= rule.minScore) found.push({ label, score, box });
    }
  }
  return suppress(
    found.sort((a, b) => b.score - a.score),
    rule.maxOverlap,
  );
}

/** Values of one output, a row for each box. */
interface Rows {
  readonly count: number;
  row(index: number): Float32Array;
}

function readRows(outputs: readonly Tensor[], name: string, columns: number): Rows {
  const output = outputs.find((tensor) => tensor.name === name);
  if (output === undefined)
    throw new MeshError('MESH_EXECUTION_FAILED', `The model gave no output "${name}"`);
  const { shape } = output;
  const [rows, boxes, width] = shape;
  if (shape.length !== 3 || rows !== 1 || boxes === undefined || width !== columns) {
    throw new MeshError(
      'MESH_EXECUTION_FAILED',
      `Expected output "${name}" to have shape [1, boxes, ${columns}], got [${shape.join(', ')}]`,
    );
  }
  const values = float32Values(output);
  if (values.length !== boxes * columns) {
    throw new MeshError(
      'MESH_EXECUTION_FAILED',
      `Expected output "${name}" of shape [${shape.join(', ')}] to hold ${boxes * columns} values, got ${values.length}`,
    );
  }
  const broken = values.findIndex((value) => !Number.isFinite(value));
  if (broken >= 0) {
    throw new MeshError(
      'MESH_EXECUTION_FAILED',
      `Expected the model to give finite values in "${name}", got ${values[broken]} for box ${Math.floor(broken / columns)}`,
    );
  }
  return { count: boxes, row: (index) => values.subarray(index * columns, (index + 1) * columns) };
}

function clamp([x0 = 0, y0 = 0, x1 = 0, y1 = 0]: Float32Array): Box {
  const inside = (value: number) => Math.min(1, Math.max(0, value));
  return [inside(x0), inside(y0), inside(x1), inside(y1)];
}

/** 0 when the corners are the wrong way round. */
function area([x0, y0, x1, y1]: Box): number {
  return Math.max(0, x1 - x0) * Math.max(0, y1 - y0);
}

/** Intersection over union, 0 to 1, of two boxes with an area. */
function overlap(a: Box, b: Box): number {
  const common = area([
    Math.max(a[0], b[0]),
    Math.max(a[1], b[1]),
    Math.min(a[2], b[2]),
    Math.min(a[3], b[3]),
  ]);
  return common / (area(a) + area(b) - common);
}

/** Each box is compared with the kept ones only, of which there are few, so many low boxes cost little. */
function suppress(best: readonly Detection[], maxOverlap: number): Detection[] {
  const kept: Detection[] = [];
  for (const candidate of best) {
    const isRepeated = kept.some(
      ({ label, box }) => label === candidate.label && overlap(box, candidate.box) > maxOverlap,
    );
    if (!isRepeated) kept.push(candidate);
    if (kept.length === MAX_DETECTIONS) break;
  }
  return kept;
}
