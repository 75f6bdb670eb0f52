import { type ArtifactStore, goldenTensor, goldenTensorOnGrid } from '@nearfar/core';
import {
  type Artifact,
  elementCount,
  type GoldenFile,
  type GoldenTensor,
  type Tensor,
} from '@nearfar/protocol';
import { areFinite } from './answers.ts';
import { type Journal, stepKey } from './journal.ts';
import { areAlike, joinRows } from './run-rows.ts';
import { identityOfTrying, loadCandidate, type TrialParts, type Trying } from './trial.ts';

/** Rows of a golden pair where the variant takes batches: two, so that batching is tested as well. */
const ROWS = 2;
/** Of inputs with more elements one row will do: pages download them. */
const LARGE_ROW_ELEMENTS = 16_384;
/** Counts up whenever golden files hold something else. */
const GOLDEN_VERSION = 3;

/**
 * Makes a variant's golden pair, the known inputs and outputs of the self-test on every device: real inputs, moved to a grid
 * of 256 levels so that pages download a quarter of their bytes, and what the variant itself makes of them on this CPU.
 */
export async function keepGolden(
  trying: Trying,
  isBatchable: boolean,
  parts: TrialParts,
  { artifacts, journal }: { readonly artifacts: ArtifactStore; readonly journal: Journal },
): Promise<Artifact> {
  const { rows, positions } = parts;
  const { variant } = trying.candidate;
  const key = stepKey(
    'golden',
    GOLDEN_VERSION,
    variant,
    identityOfTrying(trying),
    rows.identity,
    isBatchable,
  );
  const kept = (await journal.find(key)) as Artifact | undefined;
  if (kept !== undefined && (await artifacts.sizeOf(kept.sha256)) === kept.sizeBytes) return kept;

  const taken = positions.slice(0, isBatchable ? ROWS : 1).map((position) => rows.inputs(position));
  const { pairs, outputs } = await answered(trying, goldenRows(taken), parts);
  const golden: GoldenFile = {
    inputs: Object.fromEntries(pairs.map((pair) => [pair.tensor.name, pair.golden])),
    outputs: { [variant]: Object.fromEntries(outputs.map((output) => [output.name, goldenTensor(output)])) },
  };
  const bytes = new TextEncoder().encode(JSON.stringify(golden));
  const artifact = { path: 'golden.json', ...(await artifacts.write(bytes)) };
  await journal.keep(key, artifact);
  return artifact;
}

/** The rows as one input: only the first where they are large or of different shapes. */
function goldenRows(rows: readonly (readonly Tensor[])[]): readonly Tensor[] {
  const [first = [], second = first] = rows;
  const elements = first.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const isJoined = elements <= LARGE_ROW_ELEMENTS && areAlike(first, second);
  return isJoined ? joinRows(rows) : first;
}

async function answered(trying: Trying, inputs: readonly Tensor[], parts: TrialParts) {
  const loaded = await loadCandidate(trying, parts);
  const answer = async (pairs: readonly Pair[]) => {
    const outputs = await loaded.run(
      0,
      pairs.map(({ tensor }) => tensor),
    );
    return { pairs, outputs };
  };
  try {
    const moved = await answer(inputs.map(onGrid));
    // Some models are defined for certain values only, between which the grid's may lie.
    return areFinite(moved.outputs) ? moved : await answer(inputs.map(asItIs));
  } finally {
    await loaded.close();
  }
}

/** An input and the way that a golden file holds it. */
interface Pair {
  readonly tensor: Tensor;
  readonly golden: GoldenTensor;
}

function onGrid(tensor: Tensor): Pair {
  // A grid has no level for infinity, which masks hold.
  return tensor.datatype === 'FP32' && areFinite([tensor]) ? goldenTensorOnGrid(tensor) : asItIs(tensor);
}

function asItIs(tensor: Tensor): Pair {
  return { tensor, golden: goldenTensor(tensor) };
}
