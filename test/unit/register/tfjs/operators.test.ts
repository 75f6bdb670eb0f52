import { beforeAll, describe, expect, test } from 'vitest';
import { makeTfjs, type TfjsModel } from '../../../../register/src/tfjs/make-tfjs.ts';
import { OPERATORS } from '../../../../register/src/tfjs/operators.ts';
import { onnxModel, randomNumbers, type SmallGraph } from '../../../support/tfjs/build-onnx.ts';
import { OPERATOR_GRAPHS } from '../../../support/tfjs/operator-graphs.ts';
import {
  expectMade,
  inputsFor,
  largestDifference,
  type NamedNumbers,
  runOnnx,
  runTfjs,
  useBackend,
} from '../../../support/tfjs/run-graphs.ts';

const TOLERANCE = 1e-4;
const GRAPHS = Object.values(OPERATOR_GRAPHS).flat();

test('every operator that is converted is in a graph that is run', () => {
  const run = new Set(GRAPHS.flatMap(({ nodes }) => nodes.map(({ opType }) => opType)));
  expect([...OPERATORS.keys()].filter((operator) => !run.has(operator))).toEqual([]);
});

test('no two graphs have one name', () => {
  expect(new Set(GRAPHS.map(({ name }) => name)).size).toBe(GRAPHS.length);
});

describe.each(['wasm', 'cpu'] as const)('on the %s backend', (backend) => {
  beforeAll(() => useBackend(backend));

  test.for(Object.entries(OPERATOR_GRAPHS))('%s give what onnxruntime gives', async ([, graphs]) => {
    const wrong: string[] = [];
    for (const graph of graphs) {
      const difference = await differenceOf(graph).catch((error: Error) => error.message);
      if (typeof difference === 'string' || difference > TOLERANCE)
        wrong.push(`${graph.name}: ${difference}`);
    }
    expect(wrong).toEqual([]);
  });
});

/** Largest difference from onnxruntime, over batches of 1 and 3. */
async function differenceOf(graph: SmallGraph): Promise<number> {
  const { tfjs, runs } = await prepared(graph);
  let largest = 0;
  for (const { inputs, expected } of runs) {
    largest = Math.max(largest, largestDifference(await runTfjs(tfjs, inputs), expected));
  }
  return largest;
}

interface Prepared {
  readonly tfjs: TfjsModel;
  readonly runs: readonly { readonly inputs: NamedNumbers; readonly expected: NamedNumbers }[];
}

const kept = new Map<SmallGraph, Promise<Prepared>>();

/** The graph converted and what onnxruntime gives, once for all backends. */
function prepared(graph: SmallGraph): Promise<Prepared> {
  const found = kept.get(graph) ?? prepare(graph);
  kept.set(graph, found);
  return found;
}

async function prepare(graph: SmallGraph): Promise<Prepared> {
  const model = onnxModel(graph);
  const tfjs = expectMade(makeTfjs(model));
  const runs = [];
  for (const batch of [1, 3]) {
    const inputs = inputsFor(tfjs, batch, randomNumbers(batch));
    runs.push({ inputs, expected: await runOnnx(model, inputs) });
  }
  return { tfjs, runs };
}
