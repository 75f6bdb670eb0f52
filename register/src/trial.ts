import type { Tensor, TensorSignature, VariantSpec } from '@nearfar/protocol';
import {
  areFinite,
  type ClassAnswers,
  type Classifier,
  classifyRows,
  collectOutputs,
  relativeErrors,
  rightRows,
} from './answers.ts';
import type { Candidate } from './candidate.ts';
import { type Journal, stepKey } from './journal.ts';
import type { LabelledRows, Rows } from './rows.ts';
import { areAlike } from './run-rows.ts';
import type { LoadedVariant, VariantRunner } from './variant-runner.ts';

/** Rows on which a variant's outputs are compared with its base's, number by number. */
const CHECKED_ROWS = 16;
/** Bytes of outputs that are held at once, where whole outputs are compared. */
const HELD_BYTES = 128 * 1024 * 1024;
/** Outputs of one row may differ by this much when it runs in a batch: sums in another order. */
const BATCH_ERROR = 1e-3;
/** An answer that is no label agrees with the base's when its relative error is at most this. */
export const SAME_ANSWER_ERROR = 0.05;
/** Counts up whenever a trial measures something else, so that kept results are measured anew. */
const TRIALS_VERSION = 3;

/** What came of running a variant on real inputs. */
export type Trial =
  | { readonly kind: 'failed'; readonly reason: string }
  | {
      readonly kind: 'ran';
      readonly isBatchable: boolean;
      /** Largest relative error against the base on the checked rows; 0 for a base. */
      readonly error: number;
      /** What a classifier said; undefined for other tasks. */
      readonly answers: ClassAnswers | undefined;
      /** Other tasks: 1 for each row whose answer is right by the labels; undefined without labels. */
      readonly right: Uint8Array | undefined;
      /** Other tasks without labels: rows with the same answer as the base's, of how many; undefined for a base. */
      readonly same: { readonly count: number; readonly total: number } | undefined;
    };

/** A trial that came to its end. */
export type Ran = Extract<Trial, { kind: 'ran' }>;

/** A candidate with the signature that it is run by. */
export interface Trying {
  readonly candidate: Candidate;
  readonly inputs: readonly TensorSignature[];
  readonly outputs: readonly TensorSignature[];
}

/** A variant that is good enough, with what was found of it. */
export interface Accepted {
  readonly candidate: Candidate;
  readonly trying: Trying;
  readonly trial: Ran;
  readonly accuracy: VariantSpec['accuracy'];
}

/** What trials of a task share. */
export interface TrialParts {
  readonly runner: VariantRunner;
  readonly journal: Journal;
  readonly read: (sha256: string) => Promise<Uint8Array>;
  readonly rows: Rows;
  readonly labelled: LabelledRows | undefined;
  readonly positions: readonly number[];
  /** How a classifier's output is read; undefined for other tasks. */
  readonly classifier: Classifier | undefined;
  readonly baseOutputs: BaseOutputs;
  readonly signal: AbortSignal;
  readonly onProgress: (done: number) => void;
}

/** Runs a candidate on the task's rows, beside the outputs of the variant that it was made from, if it was. */
export async function tryVariant(
  trying: Trying,
  base: Trying | undefined,
  parts: TrialParts,
): Promise<Trial> {
  const { rows, positions, classifier, labelled, journal } = parts;
  const key = stepKey(
    'trial',
    TRIALS_VERSION,
    identityOfTrying(trying),
    base && identityOfTrying(base),
    rows.identity,
    positions.length,
    JSON.stringify([classifier, labelled?.metric, labelled?.tolerance]),
  );
  const kept = (await journal.find(key)) as KeptTrial | undefined;
  if (kept !== undefined) return fromKept(kept);
  const trial = await runTrial(trying, base, parts);
  // A failure is not kept: it may be this machine's, now (no memory left, too slow), and to fail again takes little.
  if (trial.kind === 'ran') await journal.keep(key, toKept(trial));
  return trial;
}

async function runTrial(trying: Trying, base: Trying | undefined, parts: TrialParts): Promise<Trial> {
  const { rows, positions, classifier, labelled, signal, onProgress } = parts;
  let loaded: LoadedVariant | undefined;
  try {
    loaded = await loadCandidate(trying, parts);
    const checked = positions.slice(0, CHECKED_ROWS);
    const alone = {
      loaded,
      rows,
      positions: checked,
      isBatchable: false,
      signal,
      onProgress: () => undefined,
    };
    const outputs = await collectOutputs(alone);
    const broken = outputs.findIndex((row) => !areFinite(row));
    if (broken >= 0)
      return { kind: 'failed', reason: `its outputs hold NaN or infinity for row ${broken} of the inputs` };
    const isBatchable = await takesBatches(trying, alone, outputs);
    const run = { loaded, rows, positions, isBatchable, signal, onProgress };
    const isCompared = classifier === undefined && labelled === undefined && base !== undefined;
    const compared = isCompared ? positions.slice(0, heldRows(outputs)) : checked;
    const own = isCompared ? await collectOutputs({ ...run, positions: compared }) : outputs;
    const errors =
      base === undefined
        ? []
        : relativeErrors(await parts.baseOutputs.first(compared.length, base, parts), own);
    return {
      kind: 'ran',
      isBatchable,
      error: errors.reduce(larger, 0),
      answers: classifier && (await classifyRows(run, classifier, labelled)),
      right: classifier === undefined && labelled !== undefined ? await rightRows(run, labelled) : undefined,
      same: isCompared
        ? { count: errors.filter((error) => error <= SAME_ANSWER_ERROR).length, total: errors.length }
        : undefined,
    };
  } catch (error) {
    signal.throwIfAborted();
    if (isRuntimeFailure(error)) return { kind: 'failed', reason: error.message };
    throw error;
  } finally {
    await loaded?.close();
  }
}

/** How many rows' outputs fit into memory, beside as many of the base. */
function heldRows(outputs: readonly (readonly Tensor[])[]): number {
  const rowBytes = (outputs[0] ?? []).reduce((sum, { data }) => sum + data.byteLength, 1);
  return Math.max(CHECKED_ROWS, Math.floor(HELD_BYTES / rowBytes));
}

/** The larger number; NaN as soon as one is. */
function larger(a: number, b: number): number {
  return Number.isNaN(a) || Number.isNaN(b) ? Number.NaN : Math.max(a, b);
}

/** Loads a candidate from the artifact store. */
export async function loadCandidate(
  { candidate, inputs, outputs }: Trying,
  { runner, read }: Pick<TrialParts, 'runner' | 'read'>,
): Promise<LoadedVariant> {
  const files = [];
  for (const { path, sha256 } of candidate.artifacts) files.push({ path, bytes: await read(sha256) });
  const { variant, format } = candidate;
  return await runner.load({ variant, format, files, inputs, outputs });
}

/**
 * What bases gave for the first rows, so that a base runs once for all variants that are made of it. Only those of one base
 * are held: variants are tried model by model.
 */
export class BaseOutputs {
  #variant: string | undefined;
  #outputs: readonly (readonly Tensor[])[] = [];

  /** The outputs of the first `count` rows. */
  async first(count: number, base: Trying, parts: TrialParts): Promise<readonly (readonly Tensor[])[]> {
    const { variant } = base.candidate;
    if (this.#variant !== variant || this.#outputs.length < count) {
      this.#outputs = await runBase(base, parts, count);
      this.#variant = variant;
    }
    return this.#outputs.slice(0, count);
  }
}

async function runBase(base: Trying, parts: TrialParts, count: number): Promise<(readonly Tensor[])[]> {
  const loaded = await loadCandidate(base, parts);
  try {
    const { rows, positions, signal } = parts;
    return await collectOutputs({
      loaded,
      rows,
      positions: positions.slice(0, count),
      isBatchable: false,
      signal,
      onProgress: () => undefined,
    });
  } finally {
    await loaded.close();
  }
}

/**
 * Whether several inputs may run together: the first axes are free, and rows together give what each gives alone. All the
 * checked rows are asked: two may have the same range by chance, and then int8-dynamic treats them like one. Rows that never
 * run together, being a single one or of different shapes, prove nothing.
 */
async function takesBatches(
  { inputs, outputs }: Trying,
  alone: Parameters<typeof collectOutputs>[0],
  expected: readonly (readonly Tensor[])[],
): Promise<boolean> {
  const isFree = ({ shape }: TensorSignature) => shape[0] === -1;
  const { rows, positions } = alone;
  const isBatch = positions.some(
    (position, index) => index > 0 && areAlike(rows.inputs(positions[index - 1] ?? 0), rows.inputs(position)),
  );
  if (!inputs.every(isFree) || !outputs.every(isFree) || !isBatch) return false;
  try {
    const together = await collectOutputs({ ...alone, isBatchable: true });
    return relativeErrors(expected, together).every((error) => error <= BATCH_ERROR);
  } catch (error) {
    alone.signal.throwIfAborted();
    if (isRuntimeFailure(error)) return false;
    throw error;
  }
}

/** Whether it is the model's fault, or the runtime's with it, in words for whoever registers it. */
export function isRuntimeFailure(error: unknown): error is Error {
  const code = (error as { code?: unknown } | null)?.code;
  return code === 'MESH_VARIANT_FAILED' || code === 'MESH_EXECUTION_FAILED';
}

/** What a candidate's outputs follow from: its files, and for tfjs the names that the task gives to its tensors. */
export function identityOfTrying({ candidate, inputs, outputs }: Trying): string {
  return JSON.stringify([candidate.artifacts.map(({ sha256 }) => sha256), inputs, outputs]);
}

/** A trial as JSON: arrays of numbers as base64. */
type KeptTrial = Omit<Ran, 'answers' | 'right'> & {
  readonly answers?: { readonly best: string; readonly confidence: string; readonly right: string };
  readonly right?: string;
};

function toKept(trial: Ran): KeptTrial {
  const { answers, right, ...rest } = trial;
  return {
    ...rest,
    ...(answers !== undefined && {
      answers: {
        best: toBase64(answers.best),
        confidence: toBase64(answers.confidence),
        right: toBase64(answers.right),
      },
    }),
    ...(right !== undefined && { right: toBase64(right) }),
  };
}

function fromKept(kept: KeptTrial): Ran {
  const { answers, right, ...rest } = kept;
  return {
    ...rest,
    same: rest.same,
    answers: answers && {
      best: new Int32Array(fromBase64(answers.best).buffer),
      confidence: new Float32Array(fromBase64(answers.confidence).buffer),
      right: fromBase64(answers.right),
    },
    right: right === undefined ? undefined : fromBase64(right),
  };
}

function toBase64({ buffer, byteOffset, byteLength }: Int32Array | Float32Array | Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64');
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  // A copy with memory of its own: Node's small buffers share a pool whose parts may start anywhere.
  return Uint8Array.from(Buffer.from(text, 'base64'));
}
