import { createMemoryArtifacts } from '@nearfar/coordinator';
import {
  type AudioPreprocess,
  float32Tensor,
  float32Values,
  MeshError,
  type TensorSignature,
} from '@nearfar/protocol';
import type { VariantRunner } from '@nearfar/register';
import { describe, expect, test } from 'vitest';
import { openAudioRows } from '../../../register/src/audio-rows.ts';
import type { Trying } from '../../../register/src/trial.ts';
import { memoryFiles } from '../../support/register/memory-files.ts';
import { fakeRunner, memoryJournal, trying } from '../../support/register/trials.ts';

const RULE: AudioPreprocess = {
  kind: 'audio',
  input: 'frame',
  sampleRate: 8_000,
  samples: 2,
  context: 1,
  state: [{ input: 'state', output: 'next' }],
  constants: { rate: 8_000 },
};
const fp32 = (name: string, size: number): TensorSignature => ({ name, datatype: 'FP32', shape: [1, size] });
const MODEL: Trying = {
  ...trying({ artifacts: [] }),
  inputs: [fp32('frame', 3), fp32('state', 1), { name: 'rate', datatype: 'INT64', shape: [] }],
  outputs: [fp32('next', 1)],
};

/** A sound of 16-bit samples. */
function wav(samples: readonly number[], rate = 8_000): Uint8Array {
  const file = Buffer.alloc(44 + samples.length * 2);
  file.write('RIFF', 0);
  file.write('WAVEfmt ', 8);
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(1, 20);
  file.writeUInt16LE(1, 22);
  file.writeUInt32LE(rate, 24);
  file.writeUInt16LE(16, 34);
  file.write('data', 36);
  file.writeUInt32LE(samples.length * 2, 40);
  for (const [index, sample] of samples.entries()) file.writeInt16LE(sample * 32_768, 44 + index * 2);
  return file;
}

/** Counts the frames in its state. */
const counting = fakeRunner(async (_, inputs) => {
  const state = inputs.find(({ name }) => name === 'state');
  const [count = 0] = state === undefined ? [] : float32Values(state);
  return [float32Tensor('next', [1, 1], Float32Array.of(count + 1))];
});

function open(sound: Uint8Array, rule = RULE, runner: VariantRunner = counting) {
  return openAudioRows(
    rule,
    ['a.wav'],
    MODEL,
    {
      files: memoryFiles({ 'a.wav': sound }),
      artifacts: createMemoryArtifacts(),
      journal: memoryJournal(),
      runner,
      known: undefined,
      wallTime: () => 0,
      emit: () => undefined,
      signal: new AbortController().signal,
    },
    256,
  );
}

describe('rows of a sound', () => {
  test('are frames with the context before them, and the states that the base had there', async () => {
    const rows = await open(wav([0.5, 0.25, -0.5, 0.125, 0.75]));
    const seen = Array.from({ length: rows.count }, (_, index) =>
      rows
        .inputs(index)
        .slice(0, 2)
        .map((tensor) => [...float32Values(tensor)]),
    );
    expect(seen).toEqual([
      [[0, 0.5, 0.25], [0]],
      [[0.25, -0.5, 0.125], [1]],
    ]);
    expect(rows.inputs(0)[2]?.data).toEqual(new Uint8Array(new BigInt64Array([8_000n]).buffer));
  });

  test('are other ones when the file of the same name holds another sound', async () => {
    const { identity } = await open(wav([0.5, 0.25]));
    expect((await open(wav([0.5, 0.25]))).identity).toBe(identity);
    expect((await open(wav([0.5, 0.5]))).identity).not.toBe(identity);
  });

  test.each([
    ['of another rate', wav([0, 0], 16_000), RULE, /8000 samples a second, found 16000/],
    ['that is too short', wav([0]), RULE, /a sound of at least 2 samples/],
    [
      'with a constant that is no whole number',
      wav([0, 0]),
      { ...RULE, constants: { rate: 0.5 } },
      /whole number/,
    ],
  ])('are refused of a sound %s', async (_, sound, rule, message) => {
    await expect(open(sound, rule)).rejects.toThrow(message);
    await expect(open(sound, rule)).rejects.toBeInstanceOf(MeshError);
  });
});
