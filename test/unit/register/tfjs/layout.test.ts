import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import type { NodeProto } from '../../../../register/src/onnx/generated/onnx_pb.ts';
import { makeTfjs } from '../../../../register/src/tfjs/make-tfjs.ts';
import { onnxModel, randomNumbers } from '../../../support/tfjs/build-onnx.ts';
import { graph, node } from '../../../support/tfjs/graphs/graph.ts';
import {
  expectMade,
  inputsFor,
  largestDifference,
  runOnnx,
  runTfjs,
  useBackend,
} from '../../../support/tfjs/run-graphs.ts';

beforeAll(() => useBackend('wasm'));

/** A step of a random graph on a value of four axes; each keeps four axes. */
type Step = (from: string, to: string, index: number) => readonly NodeProto[];

const permutation = fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4, maxLength: 4 });
const axis = fc.integer({ min: 0, max: 3 });

const step: fc.Arbitrary<Step> = fc.oneof(
  permutation.map(
    (perm): Step =>
      (from, to) => [node('Transpose', from, { perm }, to)],
  ),
  fc.constantFrom('Relu', 'Tanh').map(
    (operator): Step =>
      (from, to) => [node(operator, from, {}, to)],
  ),
  axis.map(
    (at): Step =>
      (from, to) => [node('Softmax', from, { axis: at }, to)],
  ),
  axis.map(
    (at): Step =>
      (from, to) => [node('Concat', `${from} ${from}`, { axis: at }, to)],
  ),
  axis.map(
    (at): Step =>
      (from, to) => [node('ReduceMean', from, { axes: [at], keepdims: 1 }, to)],
  ),
  axis.map(
    (at): Step =>
      (from, to, index) => [
        node('ReduceMean', from, { axes: [at], keepdims: 0 }, `less${index}`),
        node('Unsqueeze', `less${index} axis${at}`, {}, to),
      ],
  ),
  // What meets: the value as it is in memory, and one whose axes were renamed.
  permutation.map(
    (perm): Step =>
      (from, to, index) => [
        node('Transpose', from, { perm }, `there${index}`),
        node('Sigmoid', `there${index}`, {}, `changed${index}`),
        node('Transpose', `changed${index}`, { perm: inverse(perm) }, `back${index}`),
        node('Mul', `${from} back${index}`, {}, to),
      ],
  ),
  fc.constant<Step>((from, to) => [node('MaxPool', from, { kernel_shape: [2, 2], pads: [1, 0, 0, 1] }, to)]),
  fc.constant<Step>((from, to, index) => [
    node('Flatten', from, {}, `flat${index}`),
    node('Unsqueeze', `flat${index} ends`, {}, to),
  ]),
);

function inverse(perm: readonly number[]): number[] {
  return perm.map((_, axis) => perm.indexOf(axis));
}

const integers = { axis0: [0], axis1: [1], axis2: [2], axis3: [3], ends: [0, 3] };

test('renaming axes instead of moving memory changes no number', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 6 }),
      fc.boolean(),
      async (steps, isConvolved) => {
        const names = ['c', ...steps.slice(1).map((_, index) => `v${index}`), 'y'];
        const nodes = steps.flatMap((make, index) => make(names[index] ?? '', names[index + 1] ?? '', index));
        const first = isConvolved ? node('Conv', 'x w', {}, 'c') : node('Identity', 'x', {}, 'c');
        const model = onnxModel(
          graph('', [2, 3, 4, 5], [first, ...nodes], { weights: { w: [3, 3, 1, 1] }, integers }),
        );
        const tfjs = expectMade(makeTfjs(model));
        const inputs = inputsFor(tfjs, 1, randomNumbers(1));
        expect(largestDifference(await runTfjs(tfjs, inputs), await runOnnx(model, inputs))).toBeLessThan(
          1e-5,
        );
      },
    ),
    { numRuns: 60 },
  );
});
