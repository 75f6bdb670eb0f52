import type { SmallGraph } from './build-onnx.ts';
import { convolutions } from './graphs/convolution-graphs.ts';
import { activations, arithmetic } from './graphs/elementwise-graphs.ts';
import { foldings, transposedConvolutions } from './graphs/folding-graphs.ts';
import { joins } from './graphs/join-graphs.ts';
import { matrices, normalised } from './graphs/matrix-graphs.ts';
import { networks } from './graphs/network-graphs.ts';
import { pools } from './graphs/pool-graphs.ts';
import { reductions } from './graphs/reduction-graphs.ts';
import { shapes } from './graphs/shape-graphs.ts';

/** A graph for each operator and each parameter that changes what it means, by what they are about. */
export const OPERATOR_GRAPHS: Readonly<Record<string, readonly SmallGraph[]>> = {
  convolutions: [...convolutions()],
  foldings: [...foldings()],
  'transposed convolutions': [...transposedConvolutions()],
  pools: [...pools()],
  activations: [...activations()],
  arithmetic: [...arithmetic()],
  matrices: [...matrices()],
  'normalised exponentials': [...normalised()],
  reductions: [...reductions()],
  joins: [...joins()],
  shapes: [...shapes()],
  networks: [...networks()],
};
