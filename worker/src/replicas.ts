import { createHash } from 'node:crypto';
import { type Clock, checkGolden, parseGolden } from '@nearfar/core';
import {
  type Artifact,
  DATATYPE_BYTES,
  type ErrorCode,
  elementCount,
  MeshError,
  type Replica,
  type TensorSignature,
  type VariantSpec,
} from '@nearfar/protocol';
import { joinTensors } from './batch-tensors.ts';
import type { Engine } from './engine.ts';
import type { LoadedSession, ThreadTensor } from './engine-messages.ts';
import type { Log } from './log.ts';
import { type Measurements, type ReplicaKey, replicaName } from './measurements.ts';

/** Where a worker gets a variant's files. Need not check them: the worker does, by hash. */
export interface ArtifactSource {
  fetch(artifact: Artifact, signal?: AbortSignal): Promise<Uint8Array>;
}

/** Batch sizes that are measured when a variant is loaded. */
const PROFILED_BATCHES = [1, 2, 4, 8, 16] as const;
const WARM_UP_RUNS = 3;
const MEASURED_RUNS = 20;
/** Time that the measuring of one variant may take; each size gets at least one run. */
const MEASURE_WITHIN_MS = 1_500;
/** Once a single run takes longer than this, larger batches are left out. */
const SLOW_RUN_MS = 500;
/** Failures of a download that another try may mend; any other failure of a variant is final. */
const PASSING_CODES: readonly ErrorCode[] = [
  'MESH_NETWORK',
  'MESH_ARTIFACT_CORRUPT',
  'MESH_UNKNOWN_ARTIFACT',
];
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;

export interface ReplicaSetOptions {
  readonly engines: readonly Engine[];
  readonly artifacts: ArtifactSource;
  readonly measurements: Measurements;
  readonly maxBatch: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Called whenever a replica's state changes. */
  readonly onChange: () => void;
}

interface Entry {
  readonly spec: VariantSpec;
  /** Aborted when the variant is unloaded or loaded anew. */
  readonly dropped: AbortController;
  replica: Replica;
  /** Downloads that failed in a row. */
  failures: number;
}

/**
 * The variants of a worker. They are loaded one at a time, so that requests for the ready ones are served meanwhile.
 * One whose download failed is tried again, after 1 s, 2 s and so on up to a minute, until it is unloaded.
 */
export class ReplicaSet {
  readonly #options: ReplicaSetOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #closing = new AbortController();
  #turn: Promise<void> = Promise.resolve();

  constructor(options: ReplicaSetOptions) {
    this.#options = options;
  }

  list(): Replica[] {
    return [...this.#entries.values()].map((entry) => entry.replica);
  }

  /** The spec of a ready replica, or undefined. */
  ready(key: ReplicaKey): VariantSpec | undefined {
    const entry = this.#entries.get(replicaName(key));
    return entry?.replica.state === 'ready' ? entry.spec : undefined;
  }

  /** Loads a variant; one that is there already (unless it failed) stays as it is. Never rejects: see `list`. */
  load(spec: VariantSpec): Promise<void> {
    const name = replicaName(spec);
    const known = this.#entries.get(name);
    if (known === undefined || known.replica.state === 'failed') {
      known?.dropped.abort();
      const replica = replicaOf(spec, { state: 'loading' });
      const entry: Entry = { spec, dropped: new AbortController(), replica, failures: 0 };
      this.#entries.set(name, entry);
      this.#turn = this.#turn.then(() => this.#bring(name, entry));
    }
    this.#options.onChange();
    return this.#turn;
  }

  /** Forgets a variant and frees its memory. */
  unload(key: ReplicaKey): Promise<void> {
    const name = replicaName(key);
    const entry = this.#entries.get(name);
    if (entry === undefined) return this.#turn;
    entry.dropped.abort();
    this.#entries.delete(name);
    this.#turn = this.#turn.then(() => this.#release(name));
    this.#options.onChange();
    return this.#turn;
  }

  /** Stops loading and trying again. May be called twice. */
  async close(): Promise<void> {
    this.#closing.abort(new MeshError('MESH_DRAINING', 'The worker is closing'));
    await this.#turn;
  }

  async #bring(name: string, entry: Entry): Promise<void> {
    const { log, onChange } = this.#options;
    if (this.#entries.get(name) !== entry) return;
    try {
      const { loadMs, memoryBytes } = await this.#prepare(name, entry.spec);
      entry.replica = replicaOf(entry.spec, { state: 'ready', loadMs, memoryBytes });
      log('info', 'variant is ready', { replica: name, loadMs: Math.round(loadMs) });
    } catch (error) {
      const reason = error instanceof MeshError ? `${error.code}: ${error.message}` : String(error);
      entry.replica = replicaOf(entry.spec, { state: 'failed', reason: reason.slice(0, 1_024) });
      if (!this.#closing.signal.aborted) log('error', 'variant failed', { replica: name, reason });
      await this.#release(name);
      if (error instanceof MeshError && PASSING_CODES.includes(error.code)) void this.#retry(name, entry);
    }
    onChange();
  }

  /** Brings a variant again after a while, unless it is dropped meanwhile. */
  async #retry(name: string, entry: Entry): Promise<void> {
    const { clock, log, onChange } = this.#options;
    const delayMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** entry.failures);
    entry.failures += 1;
    try {
      await clock.sleep(delayMs, AbortSignal.any([this.#closing.signal, entry.dropped.signal]));
    } catch {
      return; // Unloaded, loaded anew or closed.
    }
    log('info', 'variant is tried again', { replica: name, failures: entry.failures });
    entry.replica = replicaOf(entry.spec, { state: 'loading' });
    this.#turn = this.#turn.then(() => this.#bring(name, entry));
    onChange();
  }

  /** Download, verify, load, self-test, measure. */
  async #prepare(name: string, spec: VariantSpec): Promise<{ loadMs: number; memoryBytes: number }> {
    const { engines, measurements, clock } = this.#options;
    const [first] = engines;
    const [artifact] = spec.artifacts;
    if (spec.format !== 'onnx' || artifact === undefined || first === undefined) {
      throw new MeshError('MESH_VARIANT_FAILED', `Expected an ONNX variant, got format "${spec.format}"`);
    }
    const startedAt = clock.now();
    const model = shared(await this.#download(artifact));
    let memoryBytes = 0;
    for (const engine of engines) {
      const session = await engine.load(name, model);
      checkNames(spec, session);
      memoryBytes += Math.max(model.byteLength, session.grownBytes);
    }
    const loadMs = clock.now() - startedAt;
    if (spec.golden !== undefined) {
      const golden = parseGolden(await this.#download(spec.golden), spec);
      const { tensors } = await first.run(name, joinTensors([golden.inputs]));
      checkGolden(golden, tensors, spec.tolerance);
    }
    measurements.setFootprint(spec, loadMs, memoryBytes);
    await this.#measure(name, spec, first);
    return { loadMs, memoryBytes };
  }

  async #download(artifact: Artifact): Promise<Uint8Array> {
    const bytes = await this.#options.artifacts.fetch(artifact, this.#closing.signal);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    if (sha256 === artifact.sha256) return bytes;
    throw new MeshError(
      'MESH_ARTIFACT_CORRUPT',
      `Expected "${artifact.path}" to have SHA-256 ${artifact.sha256}, got ${sha256}`,
    );
  }

  /** Measures the batch sizes one after another, each run by itself so that requests are served in between. */
  async #measure(name: string, spec: VariantSpec, engine: Engine): Promise<void> {
    const { clock, maxBatch, measurements } = this.#options;
    const batches = PROFILED_BATCHES.filter(
      (batch) => batch === 1 || (spec.isBatchable && batch <= maxBatch),
    );
    const startedAt = clock.now();
    for (const [position, batch] of batches.entries()) {
      const sizeEndsAt = startedAt + (MEASURE_WITHIN_MS * (position + 1)) / batches.length;
      const runMs = async () => {
        this.#closing.signal.throwIfAborted();
        return (await engine.run(name, zeroInputs(spec, batch))).computeMs;
      };
      for (let run = 0; run < WARM_UP_RUNS && (run === 0 || clock.now() < sizeEndsAt); run++) await runMs();
      let slowestMs = 0;
      for (let run = 0; run < MEASURED_RUNS && (run === 0 || clock.now() < sizeEndsAt); run++) {
        const computeMs = await runMs();
        measurements.add(spec, batch, computeMs);
        slowestMs = Math.max(slowestMs, computeMs);
      }
      if (slowestMs > SLOW_RUN_MS) return;
    }
  }

  async #release(name: string): Promise<void> {
    const { engines, log } = this.#options;
    const results = await Promise.allSettled(engines.map((engine) => engine.unload(name)));
    for (const result of results) {
      if (result.status === 'fulfilled' || this.#closing.signal.aborted) continue;
      log('warn', 'variant could not be unloaded', { replica: name, reason: String(result.reason) });
    }
  }
}

function replicaOf(
  spec: VariantSpec,
  state: Pick<Replica, 'state' | 'reason' | 'loadMs' | 'memoryBytes'>,
): Replica {
  const { task, variant, revision } = spec;
  return { task, variant, revision, ...state };
}

function checkNames(spec: VariantSpec, session: LoadedSession): void {
  const pairs = [
    ['inputs', spec.inputs, session.inputNames],
    ['outputs', spec.outputs, session.outputNames],
  ] as const;
  for (const [what, signature, found] of pairs) {
    const expected = signature.map((entry) => entry.name);
    const isSame = what === 'inputs' ? expected.length === found.length : true;
    if (isSame && expected.every((name) => found.includes(name))) continue;
    throw new MeshError(
      'MESH_VARIANT_FAILED',
      `Expected the ${what} of "${spec.variant}" to be ${expected.join(', ')}, the model has ${found.join(', ')}`,
    );
  }
}

/** Inputs of zeros; a free dimension other than the batch axis is taken as 1. */
function zeroInputs({ inputs }: VariantSpec, batch: number): ThreadTensor[] {
  return inputs.map(({ name, datatype, shape }: TensorSignature) => {
    const sized = shape.map((dimension, axis) => (dimension !== -1 ? dimension : axis === 0 ? batch : 1));
    return {
      name,
      datatype,
      shape: sized,
      data: new Uint8Array(elementCount(sized) * DATATYPE_BYTES[datatype]),
    };
  });
}

function shared(bytes: Uint8Array): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(bytes.byteLength);
  new Uint8Array(buffer).set(bytes);
  return buffer;
}
