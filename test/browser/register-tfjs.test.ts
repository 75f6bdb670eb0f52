import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import type { TensorSignature } from '@nearfar/protocol';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHROMIUM_FLAGS } from '../../cli/bin/find-chromium.js';
import { type ModelProto, ModelProtoSchema } from '../../register/src/onnx/generated/onnx_pb.ts';
import { makeTfjs, type TfjsModel } from '../../register/src/tfjs/make-tfjs.ts';
import { describeWithChromium } from '../support/chromium.ts';
import { onnxModel, randomNumbers } from '../support/tfjs/build-onnx.ts';
import type { PageModel, PageTensor } from '../support/tfjs/engine-page/engine-page.ts';
import { OPERATOR_GRAPHS } from '../support/tfjs/operator-graphs.ts';
import {
  expectMade,
  inputsFor,
  largestDifference,
  type NamedNumbers,
  readJson,
  runOnnx,
} from '../support/tfjs/run-graphs.ts';
import { type EngineServer, serveEngines } from '../support/tfjs/serve-engines.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const MOBILENET = here('../../../shared/models/onnx-mobilenet-v1-0.25/mobilenet_v1_0.25.onnx');
const ABSENT = 'the third-party models are not here';

interface Subject {
  readonly name: string;
  readonly path: string;
  /** How many times fewer bytes a cold page has to move by tfjs; undefined = it is only told. */
  readonly fewer?: number;
  /** Batches that are run; none of a model that takes too long without a GPU. */
  readonly batches: readonly number[];
}

const SUBJECTS: readonly Subject[] = [
  { name: 'tiny', path: here('../../models/digits/tiny.onnx'), fewer: 10, batches: [1, 3] },
  { name: 'small', path: here('../../models/digits/small.onnx'), fewer: 3.5, batches: [1] },
  { name: 'large', path: here('../../models/digits/large.onnx'), batches: [] },
  { name: 'mobilenet-0.25', path: MOBILENET, batches: [1] },
];

describeWithChromium('generated tfjs variants in Chromium on WebGPU', (executablePath) => {
  let server: EngineServer;
  let browser: Browser;

  beforeAll(async () => {
    server = await serveEngines();
    browser = await chromium.launch({ executablePath, args: [...CHROMIUM_FLAGS] });
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  test.for(SUBJECTS.filter(({ batches }) => batches.length > 0))(
    '$name agrees with onnxruntime to 1e-3',
    async ({ path, batches }, { skip }) => {
      if (!existsSync(path)) skip(ABSENT);
      const model = await readModel(path);
      const tfjs = expectMade(makeTfjs(model));
      await using opened = await openPage(browser, server, 'tfjs-webgpu');
      for (const batch of batches) {
        const inputs = inputsFor(tfjs, batch, randomNumbers(batch));
        const found = await runInPage(opened.page, server, tfjs, inputs);
        expect(largestDifference(found, await runOnnx(model, inputs))).toBeLessThan(1e-3);
      }
    },
  );

  test('weights of fp16 are loaded, and cost precision only', async () => {
    const model = await readModel(here('../../models/digits/tiny.onnx'));
    const tfjs = expectMade(makeTfjs(model, { weights: 'fp16' }));
    const inputs = inputsFor(tfjs, 1, randomNumbers(1));
    await using opened = await openPage(browser, server, 'tfjs-webgpu');
    const found = await runInPage(opened.page, server, tfjs, inputs);
    expect(largestDifference(found, await runOnnx(model, inputs))).toBeLessThan(2e-2);
  });

  test.for(Object.entries(OPERATOR_GRAPHS))('%s give what onnxruntime gives', async ([, graphs]) => {
    await using opened = await openPage(browser, server, 'tfjs-webgpu');
    await opened.page.evaluate(() => enginePage.keepOffCpu());
    const wrong: string[] = [];
    for (const graph of graphs) {
      const model = onnxModel(graph);
      const tfjs = expectMade(makeTfjs(model));
      const inputs = inputsFor(tfjs, 3, randomNumbers(3));
      const expected = await runOnnx(model, inputs);
      const difference = await runInPage(opened.page, server, tfjs, inputs)
        .then((found) => largestDifference(found, expected))
        .catch((error: Error) => error.message);
      if (typeof difference === 'string' || difference > 1e-3) wrong.push(`${graph.name}: ${difference}`);
    }
    expect(wrong).toEqual([]);
  });

  describe('bytes that a cold page moves, model and runtime', () => {
    test.for(SUBJECTS)(
      '$name: by tfjs rather than onnxruntime-web',
      async ({ name, path, fewer }, { skip }) => {
        if (!existsSync(path)) skip(ABSENT);
        const model = await readModel(path);
        const tfjs = expectMade(makeTfjs(model));
        const half = expectMade(makeTfjs(model, { weights: 'fp16' }));
        const _inputs = inputsFor(tfjs, 1, randomNumbers(1));
        const onnx = {
          files: [{ path: `${name}.onnx`, bytes: toBinary(ModelProtoSchema, model) }],
          model: tfjs,
        };
        const byOnnx = await coldBytes(browser, server, 'ort-wasm', onnx);
        const byTfjs = await coldBytes(browser, server, 'tfjs-webgpu', tfjsFiles(tfjs));
        const byHalf = await coldBytes(browser, server, 'tfjs-webgpu', tfjsFiles(half));
        console.info(
          `${name}: onnxruntime-web ${byOnnx} bytes, tfjs ${byTfjs} (${(byOnnx / byTfjs).toFixed(1)} × fewer), ` +
            `tfjs with fp16 weights ${byHalf} (${(byOnnx / byHalf).toFixed(1)} × fewer)`,
        );
        expect(byOnnx / byTfjs).toBeGreaterThanOrEqual(fewer ?? 1);
        expect(byHalf).toBeLessThan(byTfjs);
      },
    );
  });
});

async function readModel(path: string): Promise<ModelProto> {
  return fromBinary(ModelProtoSchema, await readFile(path));
}

type EngineName = 'tfjs-webgpu' | 'ort-wasm';

/** A page of its own context, so with nothing in its cache. */
async function openPage(browser: Browser, server: EngineServer, engine: EngineName) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(server.url);
  await page.waitForFunction(() => 'enginePage' in globalThis);
  await page.evaluate((name) => enginePage.start(name), engine);
  return { page, [Symbol.asyncDispose]: () => context.close() };
}

interface Files {
  readonly files: readonly { readonly path: string; readonly bytes: Uint8Array }[];
  /** For the names and shapes of its inputs and outputs. */
  readonly model: TfjsModel;
}

function tfjsFiles(model: TfjsModel): Files {
  return { files: [{ path: 'model.json', bytes: model.modelJson }, ...model.weights], model };
}

async function coldBytes(
  browser: Browser,
  server: EngineServer,
  engine: EngineName,
  files: Files,
): Promise<number> {
  server.takeSentBytes();
  await using opened = await openPage(browser, server, engine);
  await loadInPage(opened.page, server, files);
  return server.takeSentBytes();
}

async function runInPage(
  page: Page,
  server: EngineServer,
  model: TfjsModel,
  inputs: NamedNumbers,
): Promise<NamedNumbers> {
  await loadInPage(page, server, tfjsFiles(model));
  const tensors = Object.entries(inputs).map(
    ([name, { shape, values }]): PageTensor => ({ name, shape, values: Array.from(values) }),
  );
  const results = await page.evaluate((given) => enginePage.run(given), tensors);
  return Object.fromEntries(
    results.map(({ name, shape, values }) => [name, { shape, values: Float32Array.from(values) }]),
  );
}

async function loadInPage(page: Page, server: EngineServer, { files, model }: Files): Promise<void> {
  await server.put('model', files);
  const { inputs, outputs } = readJson(model).signature;
  const pageModel: PageModel = {
    folder: '/model/',
    files: files.map(({ path }) => path),
    inputs: signaturesOf(inputs),
    outputs: signaturesOf(outputs),
  };
  await page.evaluate((wanted) => enginePage.load(wanted), pageModel);
}

function signaturesOf(entries: ReturnType<typeof readJson>['signature']['inputs']): TensorSignature[] {
  return Object.entries(entries).map(([name, { tensorShape }]) => ({
    name,
    datatype: 'FP32',
    shape: tensorShape.dim.map(({ size }) => Number(size)),
  }));
}
