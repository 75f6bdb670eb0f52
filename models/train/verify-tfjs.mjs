/**
 * Runs a tfjs graph model on pictures and writes its logits; started by verify.py in a folder that has the
 * @tensorflow packages.
 *
 *     node verify-tfjs.mjs MODEL_FOLDER PICTURES.f32 LOGITS.f32
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { loadGraphModel } from '@tensorflow/tfjs-converter';

const PICTURE_SIZE = 28;
const BATCH = 64;

const [folder, picturesPath, logitsPath] = process.argv.slice(2);
const artifacts = JSON.parse(await readFile(join(folder, 'model.json'), 'utf8'));
const weights = await readFile(join(folder, 'weights.bin'));
const model = await loadGraphModel({
  load: async () => ({
    ...artifacts,
    weightSpecs: artifacts.weightsManifest[0].weights,
    weightData: new Uint8Array(weights).buffer,
  }),
});

const pictures = new Float32Array(new Uint8Array(await readFile(picturesPath)).buffer);
const valuesPerBatch = BATCH * PICTURE_SIZE * PICTURE_SIZE;
const logits = [];
for (let first = 0; first < pictures.length; first += valuesPerBatch) {
  const batch = tf.tensor4d(pictures.subarray(first, first + valuesPerBatch), [
    BATCH,
    1,
    PICTURE_SIZE,
    PICTURE_SIZE,
  ]);
  const output = model.execute({ image: batch }, 'logits');
  logits.push(...output.dataSync());
  tf.dispose([batch, output]);
}
await writeFile(logitsPath, new Uint8Array(Float32Array.from(logits).buffer));
