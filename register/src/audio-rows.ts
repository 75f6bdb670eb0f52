import {
  type AudioPreprocess,
  DATATYPE_BYTES,
  elementCount,
  float32Tensor,
  MeshError,
  type Tensor,
} from '@nearfar/protocol';
import { readWav } from './data/wav.ts';
import { stepKey } from './journal.ts';
import type { RunningParts } from './registration-parts.ts';
import type { Rows } from './rows.ts';
import type { Trying } from './trial.ts';

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
  const { candidate, inputs, outputs } = base;
  const contents = [];
  for (const { path, sha256 } of candidate.artifacts)
    contents.push({ path, bytes: await artifacts.read(sha256) });
  const { variant, format } = candidate;
  const loaded = await runner.load({ variant, format, files: contents, inputs, outputs });
  const rows: (readonly Tensor[])[] = [];
  try {
    for (const path of samples) {
      const { rate, values } = readWav(await files.read(path), path);
      if (rate !== rule.sampleRate) {
        const message = `Expected "${path}" to have ${rule.sampleRate} samples a second, found ${rate}; convert it first`;
        throw new MeshError('MESH_BAD_MANIFEST', message);
      }
      let states = new Map<string, Tensor>();
      for (
        let start = 0;
        start + rule.samples <= values.length && rows.length < count;
        start += rule.samples
      ) {
        signal.throwIfAborted();
        const row = inputs.map((input) => inputOf(input, rule, frameAt(values, start, rule), states));
        rows.push(row);
        const found = await loaded.run(0, row);
        states = new Map(
          rule.state.flatMap(({ input, output }) => {
            const tensor = found.find(({ name }) => name === output);
            return tensor === undefined
              ? []
              : [[input, { ...tensor, name: input, data: tensor.data.slice() }]];
          }),
        );
      }
    }
  } finally {
    await loaded.close();
  }
  if (rows.length === 0)
    throw new MeshError('MESH_BAD_MANIFEST', `Expected a sound of at least ${rule.samples} samples`);
  return {
    count: rows.length,
    identity: stepKey('audio', JSON.stringify(rule), candidate.artifacts[0]?.sha256, ...samples),
    source: 'samples',
    inputs: (index) => rows[index] ?? [],
  };
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
  if (constant !== undefined) fill(data, datatype, constant);
  return { name, datatype, shape: sized, data };
}

function fill(data: Uint8Array<ArrayBuffer>, datatype: Tensor['datatype'], value: number): void {
  if (datatype === 'INT64') new BigInt64Array(data.buffer).fill(BigInt(value));
  else if (datatype === 'INT32') new Int32Array(data.buffer).fill(value);
  else if (datatype === 'FP32') new Float32Array(data.buffer).fill(value);
  else
    throw new MeshError(
      'MESH_BAD_MANIFEST',
      `Expected a constant input of FP32, INT32 or INT64, got ${datatype}`,
    );
}
