import {
  type AudioPreprocess,
  DATATYPE_BYTES,
  elementCount,
  float32Tensor,
  MeshError,
  type Tensor,
} from '@nearfar/protocol';
import { identityOf } from './data/input-rows.ts';
import { readDataFile } from './data/read-data-file.ts';
import { readWav } from './data/wav.ts';
import type { RunningParts } from './registration-parts.ts';
import type { Rows } from './rows.ts';
import { identityOfTrying, loadCandidate, type Trying } from './trial.ts';

/**
 * Frames of sounds as the inputs of a model that is run frame by frame. The states come from a run of `base` through each
 * sound, so that every variant is asked the same questions; at most `count` frames, from the start of the sounds.
 */
export async function openAudioRows(
  rule: AudioPreprocess,
  samples: readonly string[],
  base: Trying,
  { files, runner, artifacts, signal }: RunningParts,
  count: number,
): Promise<Rows> {
  const contents: Uint8Array[] = [];
  for (const path of samples) contents.push(await readDataFile(files, path));
  const sounds = contents.map((content, index) => valuesOf(content, samples[index] ?? '', rule));
  const rows: (readonly Tensor[])[] = [];
  const loaded = await loadCandidate(base, { runner, read: (sha256) => artifacts.read(sha256) });
  try {
    for (const values of sounds) {
      let states = new Map<string, Tensor>();
      for (
        let start = 0;
        start + rule.samples <= values.length && rows.length < count;
        start += rule.samples
      ) {
        signal.throwIfAborted();
        const frame = frameAt(values, start, rule);
        const row = base.inputs.map((input) => inputOf(input, rule, frame, states));
        rows.push(row);
        states = statesOf(await loaded.run(0, row), rule);
      }
    }
  } finally {
    await loaded.close();
  }
  if (rows.length === 0)
    throw new MeshError('MESH_BAD_EVAL_DATA', `Expected a sound of at least ${rule.samples} samples`);
  return {
    count: rows.length,
    identity: identityOf(['audio', rule, identityOfTrying(base), count], contents),
    source: 'samples',
    inputs: (index) => rows[index] ?? [],
  };
}

function valuesOf(content: Uint8Array, path: string, { sampleRate }: AudioPreprocess): Float32Array {
  const { rate, values } = readWav(content, path);
  if (rate === sampleRate) return values;
  throw new MeshError(
    'MESH_BAD_EVAL_DATA',
    `Expected "${path}" to have ${sampleRate} samples a second, found ${rate}; convert it first`,
  );
}

/** The outputs of a run that are inputs of the next. */
function statesOf(outputs: readonly Tensor[], { state }: AudioPreprocess): Map<string, Tensor> {
  const states = new Map<string, Tensor>();
  for (const { input, output } of state) {
    const tensor = outputs.find(({ name }) => name === output);
    if (tensor !== undefined) states.set(input, { ...tensor, name: input, data: tensor.data.slice() });
  }
  return states;
}

/** The new samples with the context before them; zeros before the start. */
function frameAt(values: Float32Array, start: number, { context, samples }: AudioPreprocess): Float32Array {
  const frame = new Float32Array(context + samples);
  const from = Math.max(0, start - context);
  frame.set(values.subarray(from, start + samples), context - (start - from));
  return frame;
}

function inputOf(
  { name, datatype, shape }: Trying['inputs'][number],
  rule: AudioPreprocess,
  frame: Float32Array,
  states: ReadonlyMap<string, Tensor>,
): Tensor {
  if (name === rule.input) return float32Tensor(name, [1, frame.length], frame);
  const state = states.get(name);
  if (state !== undefined) return state;
  const sized = shape.map((dimension) => (dimension === -1 ? 1 : dimension));
  const data = new Uint8Array(elementCount(sized) * DATATYPE_BYTES[datatype]);
  const constant = rule.constants[name];
  if (constant !== undefined) fill(data, datatype, constant, name);
  return { name, datatype, shape: sized, data };
}

function fill(
  data: Uint8Array<ArrayBuffer>,
  datatype: Tensor['datatype'],
  value: number,
  name: string,
): void {
  if (datatype !== 'FP32' && !Number.isSafeInteger(value)) {
    throw new MeshError(
      'MESH_BAD_MANIFEST',
      `"preprocess.constants.${name}": expected a whole number, since the input is ${datatype}, found ${value}`,
    );
  }
  if (datatype === 'INT64') new BigInt64Array(data.buffer).fill(BigInt(value));
  else if (datatype === 'INT32') new Int32Array(data.buffer).fill(value);
  else if (datatype === 'FP32') new Float32Array(data.buffer).fill(value);
  else
    throw new MeshError(
      'MESH_BAD_MANIFEST',
      `"preprocess.constants.${name}": expected an input of FP32, INT32 or INT64, the model has ${datatype}`,
    );
}
