import { type ArtifactStore, goldenTensor, goldenTensorOnGrid } from '@nearfar/core';
import { type Artifact, elementCount, type GoldenFile, type Tensor } from '@nearfar/protocol';
import { type Journal, stepKey } from './journal.ts';
import { joinRows } from './run-rows.ts';
import { loadCandidate, type TrialParts, type Trying } from './trial.ts';

/** Rows of a golden pair where the variant takes batches: two, so that batching is tested as well. */
const ROWS = 2;
/** Of inputs with more elements one row will do: pages download them. */
const LARGE_ROW_ELEMENTS = 16_384;
/** Counts up whenever golden files hold something else. */
const GOLDEN_VERSION = 2;

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
  const files = trying.candidate.artifacts.map(({ sha256 }) => sha256).join();
  const key = stepKey('golden', GOLDEN_VERSION, trying.candidate.variant, files, rows.identity, isBatchable);
  const kept = (await journal.find(key)) as Artifact | undefined;
  if (kept !== undefined && (await artifacts.sizeOf(kept.sha256)) === kept.sizeBytes) return kept;

  const elements = rows.inputs(positions[0] ?? 0).reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const count = isBatchable && elements <= LARGE_ROW_ELEMENTS ? ROWS : 1;
  const taken = positions.slice(0, count).map((position) => rows.inputs(position));
  const pairs = joinRows(taken).map(known);
  const loaded = await loadCandidate(trying, parts);
  let outputs: readonly Tensor[];
  try {
    outputs = await loaded.run(
      0,
      pairs.map(({ tensor }) => tensor),
    );
  } finally {
    await loaded.close();
  }
  const golden: GoldenFile = {
    inputs: Object.fromEntries(pairs.map((pair) => [pair.tensor.name, pair.golden])),
    outputs: {
      [trying.candidate.variant]: Object.fromEntries(
        outputs.map((output) => [output.name, goldenTensor(output)]),
      ),
    },
  };
  const bytes = new TextEncoder().encode(JSON.stringify(golden));
  const artifact = { path: 'golden.json', ...(await artifacts.write(bytes)) };
  await journal.keep(key, artifact);
  return artifact;
}

function known(tensor: Tensor) {
  return tensor.datatype === 'FP32' ? goldenTensorOnGrid(tensor) : { tensor, golden: goldenTensor(tensor) };
}
