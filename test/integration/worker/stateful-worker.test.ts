import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { float32Tensor, float32Values, type GoldenTensor, type Tensor } from '@nearfar/protocol';
import { EngineThread } from '@nearfar/worker';
import { describe, expect, test } from 'vitest';
import { connectedCpuWorker, loaded } from '../../support/worker/connected-worker.ts';
import { modelSource, modelVariant, type TestVariant } from '../../support/worker/model-variant.ts';

const FOLDER = new URL('../../../../shared/models/silero-vad/', import.meta.url);
const isHere = existsSync(FOLDER);

const SAMPLE_RATE: Tensor = {
  name: 'sr',
  datatype: 'INT64',
  shape: [],
  data: new Uint8Array(BigInt64Array.of(16_000n).buffer),
};
const SILENT_STATE = float32Tensor('state', [2, 1, 128], new Float32Array(256));

/** A speech detector: a frame of sound, the state that the run before gave, and the sample rate as an int64 scalar. */
function detector(golden?: Uint8Array): Promise<TestVariant> {
  return modelVariant({
    folder: FOLDER,
    paths: ['silero_vad.onnx'],
    task: 'speech',
    model: 'silero',
    inputs: [
      { name: 'input', datatype: 'FP32', shape: [-1, -1] },
      { name: 'state', datatype: 'FP32', shape: [2, -1, 128] },
      { name: 'sr', datatype: 'INT64', shape: [] },
    ],
    outputs: [
      { name: 'output', datatype: 'FP32', shape: [-1, 1] },
      { name: 'stateN', datatype: 'FP32', shape: [-1, -1, -1] },
    ],
    isBatchable: false,
    ...(golden === undefined ? {} : { golden }),
  });
}

/** Frames of 576 samples, each with the last 64 of the one before. */
async function frames(count: number): Promise<Tensor[]> {
  const sound = await readFile(new URL('speech-30s.wav', FOLDER));
  const sampleAt = (index: number) => (index < 0 ? 0 : sound.readInt16LE(44 + 2 * index) / 32_768);
  return Array.from({ length: count }, (_, frame) =>
    float32Tensor(
      'input',
      [1, 576],
      Float32Array.from({ length: 576 }, (_, index) => sampleAt(frame * 512 + index - 64)),
    ),
  );
}

const asGolden = ({ datatype, shape, data }: Tensor): GoldenTensor => ({
  datatype,
  shape: [...shape],
  base64: Buffer.from(data).toString('base64'),
});

const namedGolden = (tensors: readonly Tensor[]) =>
  Object.fromEntries(tensors.map((tensor) => [tensor.name, asGolden(tensor)]));

/** What the model gives for frames one after another, outside a worker. */
async function runAlone(sounds: readonly Tensor[]): Promise<Tensor[][]> {
  const thread = new EngineThread({ provider: 'cpu', threadsPerSession: 1 });
  await thread.load('silero', modelSource(await detector()));
  const results: Tensor[][] = [];
  let state = SILENT_STATE;
  for (const sound of sounds) {
    const owned = [sound, state, SAMPLE_RATE].map((tensor) => ({
      ...tensor,
      data: Uint8Array.from(tensor.data),
    }));
    const { tensors } = await thread.run('silero', owned);
    results.push([...tensors]);
    state = { ...(tensors[1] ?? SILENT_STATE), name: 'state' };
  }
  await thread.close();
  return results;
}

describe.skipIf(!isHere)(
  'a model with state and an int64 scalar (skipped where ../shared/models is absent)',
  () => {
    test('passes its self-test, is measured with known inputs, and carries its state from run to run', async () => {
      const sounds = await frames(40);
      const expected = await runAlone(sounds);
      const golden = {
        inputs: namedGolden([sounds[0] ?? SILENT_STATE, SILENT_STATE, SAMPLE_RATE]),
        outputs: { silero: namedGolden(expected[0] ?? []) },
      };
      const variant = await detector(new TextEncoder().encode(JSON.stringify(golden)));
      const { worker, link } = await connectedCpuWorker(variant);
      expect(await loaded(link, variant)).toMatchObject({ state: 'ready' });
      expect(link.of('profile-report').flatMap(({ reports }) => reports)).toMatchObject([{ batch: 1 }]);

      let state = SILENT_STATE;
      const speech: number[] = [];
      for (const [index, sound] of sounds.entries()) {
        const requestId = `frame-${index}`;
        link.execute({ requestId, task: 'speech', variant: variant.spec.variant }, [
          sound,
          state,
          SAMPLE_RATE,
        ]);
        const { tensors } = await link.until(() => link.answer(requestId));
        const [output = SILENT_STATE, next = SILENT_STATE] = tensors;
        expect([...float32Values(output)]).toEqual([...float32Values(expected[index]?.[0] ?? SILENT_STATE)]);
        speech.push(...float32Values(output));
        state = { ...next, name: 'state' };
      }
      // Somebody speaks in the first 1.3 s of the recording, and not in its first frame.
      expect(speech[0]).toBeLessThan(0.5);
      expect(Math.max(...speech)).toBeGreaterThan(0.5);
      await worker.close();
    });

    test('fails, saying what would help, when it is measured with zeros and cannot run them', async () => {
      const variant = await detector();
      const { worker, link } = await connectedCpuWorker(variant);
      const { reason } = await loaded(link, variant);
      expect(reason).toMatch(
        /^MESH_VARIANT_FAILED: The first run, on zeros \(a golden file would bring other inputs\), failed:/,
      );
      await worker.close();
    });
  },
);
