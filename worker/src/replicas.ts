import type { Clock } from '@nearfar/core';
import { type ErrorCode, MeshError, type Replica, type VariantSpec } from '@nearfar/protocol';
import type { ArtifactSource } from './download.ts';
import type { Engine } from './engine.ts';
import type { Log } from './log.ts';
import { measureReplica, type Traffic } from './measure-replica.ts';
import { type Measurements, type ReplicaKey, replicaName } from './measurements.ts';
import { MemoryWatch } from './memory-watch.ts';
import { type PreparedReplica, prepareReplica } from './prepare-replica.ts';

/** Failures of a download that another try may mend; any other failure of a variant is final. */
const PASSING_CODES: readonly ErrorCode[] = [
  'MESH_NETWORK',
  'MESH_ARTIFACT_CORRUPT',
  'MESH_UNKNOWN_ARTIFACT',
];
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;
/** A replica that has not been run for so long is measured again: what was measured may no longer be true. */
export const STALE_AFTER_MS = 6 * 3_600_000;
/** How often stale replicas are looked for. */
const LOOK_FOR_STALE_EVERY_MS = 10 * 60_000;

/** The live requests of a worker, as loading and unloading see them. */
export interface ReplicaTraffic extends Traffic {
  /** Resolves as soon as nothing waits and nothing runs. */
  idle(): Promise<void>;
  /** Resolves as soon as no request for the replica waits or runs. */
  drained(key: ReplicaKey): Promise<void>;
}

export interface ReplicaSetOptions {
  /** One a slot, at least one. */
  readonly engines: readonly Engine[];
  readonly artifacts: ArtifactSource;
  readonly measurements: Measurements;
  readonly traffic: ReplicaTraffic;
  readonly maxBatch: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Called whenever a replica's state or what was measured of it changes. */
  readonly onChange: () => void;
}

interface Entry {
  readonly spec: VariantSpec;
  /** Aborted when the variant is unloaded or loaded anew. */
  readonly dropped: AbortController;
  replica: Replica;
  /** Downloads that failed in a row. */
  failures: number;
  /** Inputs to measure it with, once it is loaded. */
  example: PreparedReplica['example'];
}

/**
 * The variants of a worker, any number of revisions of each side by side. They are loaded one at a time, in engine threads
 * beside those that serve. One whose download failed is tried again, after 1 s, 2 s and so on up to a minute, until it is
 * unloaded. One that has not been run for six hours is measured again as soon as the worker is idle.
 */
export class ReplicaSet {
  readonly #options: ReplicaSetOptions;
  readonly #engines: readonly [Engine, ...Engine[]];
  readonly #entries = new Map<string, Entry>();
  readonly #closing = new AbortController();
  readonly #watching: Promise<void>;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: ReplicaSetOptions) {
    const [first, ...others] = options.engines;
    if (first === undefined) throw new RangeError('Expected at least one engine, got none');
    this.#options = options;
    this.#engines = [first, ...others];
    this.#watching = this.#watchForStale();
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
      known?.dropped.abort(dropped(name));
      const replica = replicaOf(spec, { state: 'loading' });
      const entry: Entry = {
        spec,
        dropped: new AbortController(),
        replica,
        failures: 0,
        example: [],
      };
      this.#entries.set(name, entry);
      this.#turn = this.#turn.then(() => this.#bring(name, entry));
    }
    this.#options.onChange();
    return this.#turn;
  }

  /** Forgets a variant at once, and frees its memory as soon as the requests that wait for it have been run. */
  unload(key: ReplicaKey): Promise<void> {
    const name = replicaName(key);
    const entry = this.#entries.get(name);
    if (entry === undefined) return this.#turn;
    entry.dropped.abort(dropped(name));
    this.#entries.delete(name);
    this.#turn = this.#turn.then(async () => {
      await this.#options.traffic.drained(key);
      await this.#release(name);
    });
    this.#options.onChange();
    return this.#turn;
  }

  /** Stops loading, measuring and trying again. May be called twice. */
  async close(): Promise<void> {
    this.#closing.abort(new MeshError('MESH_DRAINING', 'The worker is closing'));
    await this.#watching;
    await this.#turn;
  }

  async #bring(name: string, entry: Entry): Promise<void> {
    const { log, onChange } = this.#options;
    if (this.#entries.get(name) !== entry) return;
    try {
      const { loadMs, memoryBytes } = await this.#prepare(name, entry);
      entry.replica = replicaOf(entry.spec, { state: 'ready', loadMs, memoryBytes });
      log('info', 'variant is ready', { replica: name, loadMs: Math.round(loadMs) });
    } catch (error) {
      const reason = error instanceof MeshError ? `${error.code}: ${error.message}` : String(error);
      entry.replica = replicaOf(entry.spec, { state: 'failed', reason: reason.slice(0, 1_024) });
      if (!this.#endOf(entry).aborted) log('error', 'variant failed', { replica: name, reason });
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
      await clock.sleep(delayMs, this.#endOf(entry));
    } catch {
      return; // Unloaded, loaded anew or closed.
    }
    log('info', 'variant is tried again', { replica: name, failures: entry.failures });
    entry.replica = replicaOf(entry.spec, { state: 'loading' });
    this.#turn = this.#turn.then(() => this.#bring(name, entry));
    onChange();
  }

  /** Loads and measures a variant beside those that serve. */
  async #prepare(name: string, entry: Entry): Promise<{ loadMs: number; memoryBytes: number }> {
    const { artifacts, clock, measurements } = this.#options;
    const { spec } = entry;
    const memory = new MemoryWatch();
    const signal = this.#endOf(entry);
    const engines = this.#engines;
    const { example, ...times } = await prepareReplica({
      engines,
      session: name,
      spec,
      artifacts,
      memory,
      clock,
      signal,
    });
    entry.example = example;
    await this.#measure(name, entry, memory);
    // What a session takes at the least, wherever it found that memory.
    const memoryBytes = Math.max(engines.length * times.modelBytes, memory.heldBytes);
    const peakMemoryBytes = Math.max(memoryBytes, memory.peakBytes);
    measurements.setFootprint(spec, { ...times, memoryBytes, peakMemoryBytes, runtimeBytes: 0 });
    return { loadMs: times.loadMs, memoryBytes };
  }

  async #measure(name: string, entry: Entry, memory?: MemoryWatch): Promise<void> {
    const { clock, maxBatch, measurements, traffic } = this.#options;
    const { spec, example } = entry;
    const [engine] = this.#engines;
    const measured = measureReplica({
      engine,
      session: name,
      spec,
      example,
      maxBatch,
      traffic,
      clock,
      signal: this.#endOf(entry),
    });
    for await (const { batch, timesMs } of measured) {
      memory?.sample();
      measurements.addMeasured(spec, batch, timesMs);
    }
  }

  async #watchForStale(): Promise<void> {
    const { clock, traffic } = this.#options;
    for (;;) {
      try {
        await clock.sleep(LOOK_FOR_STALE_EVERY_MS, this.#closing.signal);
      } catch {
        return; // Closed.
      }
      for (const [name, entry] of this.#entries) {
        if (!this.#isStale(entry)) continue;
        await Promise.race([traffic.idle(), aborted(this.#closing.signal)]);
        this.#turn = this.#turn.then(() => this.#measureAgain(name, entry));
        await this.#turn;
      }
    }
  }

  #isStale({ spec, replica }: Entry): boolean {
    const { clock, measurements } = this.#options;
    const ranAt = measurements.ranAt(spec) ?? Number.NEGATIVE_INFINITY;
    return replica.state === 'ready' && clock.now() - ranAt >= STALE_AFTER_MS;
  }

  async #measureAgain(name: string, entry: Entry): Promise<void> {
    const { log, onChange } = this.#options;
    if (this.#endOf(entry).aborted || !this.#isStale(entry)) return;
    log('info', 'variant is measured again', { replica: name });
    try {
      await this.#measure(name, entry);
    } catch (error) {
      if (this.#endOf(entry).aborted) return;
      log('warn', 'variant could not be measured again', { replica: name, reason: String(error) });
    }
    onChange();
  }

  /** Aborts when the variant is dropped or the worker closes. */
  #endOf(entry: Entry): AbortSignal {
    return AbortSignal.any([this.#closing.signal, entry.dropped.signal]);
  }

  async #release(name: string): Promise<void> {
    const { log } = this.#options;
    const results = await Promise.allSettled(this.#engines.map((engine) => engine.unload(name)));
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

function dropped(name: string): MeshError {
  return new MeshError('MESH_VARIANT_NOT_READY', `"${name}" was unloaded or is loaded anew`);
}

/** Resolves when the signal aborts. */
function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
