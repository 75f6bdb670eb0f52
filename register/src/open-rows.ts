import type { Tensor } from '@nearfar/protocol';
import { openAudioRows } from './audio-rows.ts';
import { openEvalData } from './data/labelled-data.ts';
import { noiseInputs, openSampleInputs } from './data/sample-inputs.ts';
import { evalFiles } from './eval-files.ts';
import type { CheckedManifest } from './read-manifest.ts';
import type { RunningParts } from './registration-parts.ts';
import type { LabelledRows, Rows } from './rows.ts';
import type { Trying } from './trial.ts';

/** Inputs without labels that variants are compared on. */
const UNLABELLED_ROWS = 256;
/** Bytes of rows that are kept in memory. */
const REMEMBERED_BYTES = 256 * 1024 * 1024;
/** They are the same each time. */
const SEED = 1;

/**
 * What a task's variants are tried on: its labelled data where they are, else crops of its samples, else noise. `base` is
 * what a stateful audio model gets its states from.
 */
export async function openRows(
  manifest: CheckedManifest,
  base: Trying,
  parts: RunningParts,
): Promise<{ readonly rows: Rows; readonly labelled: LabelledRows | undefined }> {
  const { files, emit } = parts;
  const { eval: rule, samples = [], preprocess, labels } = manifest;
  const { inputs } = base;
  if (rule !== undefined) {
    // Data that are there in part are an error of their own.
    if ((await evalFiles(rule, files)).length > 0) {
      const data = await openEvalData(files, rule, { labels, preprocess, inputs });
      const { metric, tolerance } = rule;
      const rows = remembered({ ...data, source: 'eval' });
      const labelled: LabelledRows = { ...rows, metric, tolerance, label: (index) => data.label(index) };
      return { rows, labelled };
    }
    const place = rule.directory ?? rule.file ?? rule.images ?? '';
    const message = `The eval data ("${place}") are not here, so accuracy stays as declared; name their folder with --data to have it measured`;
    emit({ type: 'note', message });
  }
  if (preprocess?.kind === 'audio' && samples.length > 0) {
    return {
      rows: await openAudioRows(preprocess, samples, base, parts, UNLABELLED_ROWS),
      labelled: undefined,
    };
  }
  if (samples.length > 0) {
    const task = { preprocess, inputs };
    const sampled = await openSampleInputs(files, samples, task, UNLABELLED_ROWS, SEED);
    return { rows: remembered({ ...sampled, source: 'samples' }), labelled: undefined };
  }
  const message =
    'The manifest names neither eval data nor samples: variants are compared on noise, which says little about real inputs';
  emit({ type: 'note', message });
  return { rows: { ...noiseInputs(inputs, UNLABELLED_ROWS, SEED), source: 'noise' }, labelled: undefined };
}

/** Rows that are made once and kept as long as they fit: every variant is asked the same, and pictures take time to scale. */
function remembered(rows: Rows): Rows {
  const kept = new Map<number, readonly Tensor[]>();
  let leftBytes = REMEMBERED_BYTES;
  return {
    ...rows,
    inputs: (index) => {
      const known = kept.get(index);
      if (known !== undefined) return known;
      const row = rows.inputs(index);
      leftBytes -= row.reduce((sum, { data }) => sum + data.byteLength, 0);
      if (leftBytes >= 0) kept.set(index, row);
      return row;
    },
  };
}
