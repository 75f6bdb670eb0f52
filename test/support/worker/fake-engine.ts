import type { Engine, LoadedSession, ProbeResult, RunResult, ThreadTensor } from '@nearfar/worker';

/** A run that a test finishes by itself. */
export interface HeldRun {
  readonly session: string;
  readonly tensors: readonly ThreadTensor[];
  finish(computeMs?: number): void;
  fail(error: Error): void;
}

/** An engine whose sessions copy the input "x" to the output "y"; while `isHolding`, runs wait for the test. */
export class FakeEngine implements Engine {
  readonly held: HeldRun[] = [];
  readonly loaded = new Set<string>();
  isHolding = false;
  isClosed = false;

  load(session: string): Promise<LoadedSession> {
    this.loaded.add(session);
    return Promise.resolve({ inputNames: ['x'], outputNames: ['y'], loadMs: 1, grownBytes: 0 });
  }

  run(session: string, tensors: readonly ThreadTensor[]): Promise<RunResult> {
    const result = (computeMs: number): RunResult => ({
      tensors: tensors.map((tensor) => ({ ...tensor, name: 'y' })),
      computeMs,
    });
    if (!this.isHolding) return Promise.resolve(result(10));
    return new Promise((resolve, reject) => {
      const finish = (computeMs = 10) => resolve(result(computeMs));
      this.held.push({ session, tensors, finish, fail: reject });
    });
  }

  unload(session: string): Promise<void> {
    this.loaded.delete(session);
    return Promise.resolve();
  }

  probe(): Promise<ProbeResult> {
    return Promise.resolve({ runMs: 1 });
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}
