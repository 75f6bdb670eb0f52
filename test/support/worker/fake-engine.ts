import type {
  Engine,
  LoadedSession,
  MeasuredTimes,
  MeasureLimits,
  ModelSource,
  RunResult,
  SharedTensor,
  ThreadTensor,
} from '@nearfar/worker';

type Input = ThreadTensor | SharedTensor;

/** A run that a test finishes by itself. */
export interface HeldRun {
  readonly session: string;
  readonly tensors: readonly Input[];
  finish(computeMs?: number): void;
  fail(error: Error): void;
}

/** An engine whose sessions copy the input "x" to the output "y"; while `isHolding`, runs wait for the test. */
export class FakeEngine implements Engine {
  readonly held: HeldRun[] = [];
  /** Inputs of the runs that were not held. */
  readonly runs: (readonly Input[])[] = [];
  readonly loaded = new Map<string, ModelSource>();
  /** Milliseconds that a run takes which the test does not hold. */
  computeMs = 10;
  /** Milliseconds that it takes longer for each input after the first. */
  rowMs = 0;
  isHolding = false;
  isClosed = false;

  load(session: string, source: ModelSource): Promise<LoadedSession> {
    this.loaded.set(session, source);
    return Promise.resolve({ loadMs: 1 });
  }

  run(session: string, tensors: readonly Input[]): Promise<RunResult> {
    const result = (computeMs: number): RunResult => ({
      tensors: tensors.map(({ data, ...tensor }) => ({ ...tensor, name: 'y', data: Uint8Array.from(data) })),
      computeMs,
    });
    if (!this.isHolding) {
      this.runs.push(tensors);
      const rows = tensors[0]?.shape[0] ?? 1;
      return Promise.resolve(result(this.computeMs + (rows - 1) * this.rowMs));
    }
    return new Promise((resolve, reject) => {
      const finish = (computeMs = 10) => resolve(result(computeMs));
      this.held.push({ session, tensors, finish, fail: reject });
    });
  }

  async measure(
    session: string,
    tensors: readonly SharedTensor[],
    { runs, withinMs }: MeasureLimits,
  ): Promise<MeasuredTimes> {
    const timesMs: number[] = [];
    let spentMs = 0;
    do {
      const { computeMs } = await this.run(session, tensors);
      timesMs.push(computeMs);
      spentMs += computeMs;
    } while (timesMs.length < runs && spentMs < withinMs);
    return { timesMs };
  }

  unload(session: string): Promise<void> {
    this.loaded.delete(session);
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}
