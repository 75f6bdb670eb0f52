import type { SmallGraph } from '../build-onnx.ts';
import { graph, node, PICTURE } from './graph.ts';

/** Concat, Slice, Split and Pad. */
export function* joins(): Generator<SmallGraph> {
  const conv = node('Conv', 'x w', {}, 'c');
  const weights = { w: [4, 4, 1, 1] };
  for (const axis of [1, 2, 3, -1]) {
    yield graph(`Concat axis ${axis}`, PICTURE, [conv, node('Concat', 'c x c', { axis })], { weights });
  }
  yield graph('Concat with a constant', [1, 4, 2, 2], [conv, node('Concat', 'c k', { axis: 1 })], {
    weights: { ...weights, k: [1, 2, 2, 2] },
  });
  const slices: readonly [
    string,
    readonly number[],
    readonly number[],
    readonly number[],
    readonly number[],
  ][] = [
    ['the middle', [1, 2], [3, 6], [1, 2], [1, 1]],
    ['from the end', [-3], [9_223_372_036_854_775_000], [3], [1]],
    ['every second', [0, 1], [100, 100], [2, 3], [2, 3]],
    ['all of it', [0], [9_223_372_036_854_775_000], [0], [1]],
  ];
  for (const [name, starts, ends, axes, steps] of slices) {
    yield graph(`Slice ${name}`, PICTURE, [conv, node('Slice', 'c starts ends axes steps')], {
      weights,
      integers: { starts, ends, axes, steps },
    });
  }
  yield graph(
    'Slice with attributes',
    PICTURE,
    [conv, node('Slice', 'c', { starts: [1], ends: [-1], axes: [2] })],
    { weights, opset: 9 },
  );
  yield graph('Split evenly', PICTURE, [conv, node('Split', 'c', { axis: 1 }, 'a b'), node('Sub', 'a b')], {
    weights,
  });
  yield graph('Split by sizes', PICTURE, [conv, node('Split', 'c sizes', { axis: 2 }, 'y z')], {
    weights,
    integers: { sizes: [3, 4] },
    outputs: ['y', 'z'],
  });
  yield graph('Split by attribute', PICTURE, [conv, node('Split', 'c', { axis: 3, split: [2, 6] }, 'y z')], {
    weights,
    opset: 11,
    outputs: ['z'],
  });
  yield graph('Pad', PICTURE, [conv, node('Pad', 'c pads value')], {
    weights: { ...weights, value: { shape: [], values: [0.5] } },
    integers: { pads: [0, 1, 2, 0, 0, 0, 1, 3] },
  });
  yield graph('Pad of axes', PICTURE, [conv, node('Pad', 'c pads - axes')], {
    weights,
    opset: 18,
    integers: { pads: [1, 2], axes: [2] },
  });
  yield graph('Pad with attributes', PICTURE, [conv, node('Pad', 'c', { pads: [0, 0, 1, 1, 0, 0, 1, 1] })], {
    weights,
    opset: 9,
  });
}
