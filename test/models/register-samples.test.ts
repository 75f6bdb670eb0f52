import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openArtifactFolder } from '@nearfar/coordinator/node';
import { type RegisteredTask, variantBytes } from '@nearfar/core';
import {
  createEngineRunner,
  folderFiles,
  openJournal,
  registerTask,
  type VariantRunner,
} from '@nearfar/register';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dataFolder, NO_DATA } from '../support/data-sets.ts';

const MODELS = fileURLToPath(new URL('../../models/', import.meta.url));
/** Registering takes minutes where both cores are busy. */
const WITHIN_MS = 15 * 60_000;

let state = '';

beforeAll(async () => {
  state = await mkdtemp(join(tmpdir(), 'nearfar-samples-'));
});
afterAll(() => rm(state, { recursive: true, force: true }));

async function register(
  task: string,
  evalLimit?: number,
  runner: VariantRunner = createEngineRunner(),
): Promise<RegisteredTask> {
  const json: unknown = JSON.parse(await readFile(join(MODELS, task, 'manifest.json'), 'utf8'));
  const rollout = { mode: 'now', share: 1 } as const;
  const options = {
    maxAccuracyDrop: 0.01,
    generate: true,
    rollout,
    ...(evalLimit !== undefined && { evalLimit }),
  };
  return await registerTask(json, options, {
    files: folderFiles([join(MODELS, task), dataFolder ?? MODELS]),
    artifacts: openArtifactFolder(join(state, 'artifacts')),
    journal: openJournal(join(state, 'registrations')),
    runner,
    known: undefined,
    wallTime: Date.now,
    emit: () => undefined,
    signal: new AbortController().signal,
  });
}

function bytesOf({ variants }: RegisteredTask, name: string): number {
  const variant = variants.find((entry) => entry.variant === name);
  if (variant === undefined) throw new Error(`Expected a variant "${name}"`);
  return variantBytes(variant, variants);
}

describe.skipIf(dataFolder === undefined)(
  `registering the sample tasks${dataFolder === undefined ? ` (${NO_DATA})` : ''}`,
  () => {
    let fashion: RegisteredTask;
    let digits: RegisteredTask;

    beforeAll(async () => {
      fashion = await register('fashion');
      digits = await register('digits', 2_000);
    }, WITHIN_MS);

    test('every accepted variant loses at most a point, with its whole interval', () => {
      for (const { variants } of [fashion, digits]) {
        const generated = variants.filter(
          ({ origin, format }) => origin === 'generated' && format !== 'cascade',
        );
        expect(generated.length).toBeGreaterThanOrEqual(10);
        for (const { variant, accuracy } of generated) {
          expect(accuracy.source, variant).toBe('measured');
          expect(accuracy.drop?.high, variant).toBeLessThanOrEqual(0.01);
        }
      }
    });

    test('accuracy is measured on all labelled pictures, with an interval around it', () => {
      const large = fashion.variants.find(({ variant }) => variant === 'large-fp32-onnx');
      expect(large?.accuracy).toMatchObject({
        value: 0.9407,
        source: 'measured',
        sampleSize: 10_000,
        metric: 'top-1',
      });
      expect(large?.accuracy.interval?.low).toBeCloseTo(0.9359, 3);
      expect(large?.accuracy.interval?.high).toBeCloseTo(0.9452, 3);
    });

    test.each(['small', 'large'])('weight-only int8 of %s takes at most 30 % of the bytes', (model) => {
      for (const task of [fashion, digits]) {
        const share = bytesOf(task, `${model}-int8-onnx`) / bytesOf(task, `${model}-fp32-onnx`);
        expect(share).toBeLessThanOrEqual(0.3);
      }
    });

    test('a cascade of tiny and large is within half a point of large and escalates at most 40 %, on unseen pictures', () => {
      const cascade = fashion.variants.find(({ variant }) => variant.startsWith('tiny..large.t'));
      expect(cascade?.accuracy.sampleSize).toBe(5_000);
      expect(cascade?.accuracy.drop?.value).toBeLessThanOrEqual(0.005);
      expect(cascade?.cascade?.escalation.value).toBeLessThanOrEqual(0.4);
      expect(cascade?.cascade?.escalation.sampleSize).toBe(5_000);
    });

    test('every variant but a cascade carries a golden pair', () => {
      for (const { variant, golden, format } of [...fashion.variants, ...digits.variants]) {
        expect(golden !== undefined, variant).toBe(format !== 'cascade');
      }
    });

    test('the same registration again runs nothing: all of it is in the journal', async () => {
      const again = await register('fashion', undefined, {
        load: ({ variant }) => Promise.reject(new Error(`Expected nothing to be run, got "${variant}"`)),
      });
      expect(again.variants).toEqual(fashion.variants);
    });
  },
);
