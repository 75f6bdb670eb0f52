import type { WorkerSideLink } from '@nearfar/core';
import type { CoordinatorMessage, ExecuteRequest, Tensor, WorkerMessage } from '@nearfar/protocol';

type Handler = (message: CoordinatorMessage, tensors: readonly Tensor[]) => void;

/** A link that measures how long answers take and keeps nothing else, so that it is as fast after many as at first. */
export class LatencyLink implements WorkerSideLink {
  readonly bufferedBytes = 0;
  readonly #waiting = new Map<string, () => void>();
  #states: ReadonlyMap<string, string> = new Map();
  #stateChanged = Promise.withResolvers<void>();
  #handler: Handler | undefined;
  #sequence = 0;

  send(message: WorkerMessage): void {
    if (message.type === 'execute-refused') throw new Error(`Expected an answer, got ${message.error.error}`);
    if (message.type === 'execute-result') this.#waiting.get(message.requestId)?.();
    if (message.type !== 'load-report') return;
    this.#states = new Map(message.replicas.map(({ task, variant, state }) => [`${task}/${variant}`, state]));
    this.#stateChanged.resolve();
    this.#stateChanged = Promise.withResolvers<void>();
  }

  onMessage(handler: Handler): void {
    this.#handler = handler;
  }

  onClose(): void {}

  close(): void {}

  /** Sends the worker a message. */
  deliver(message: CoordinatorMessage, tensors: readonly Tensor[] = []): void {
    this.#handler?.(message, tensors);
  }

  /** Resolves when a variant is ready. */
  async ready(task: string, variant: string): Promise<void> {
    while (this.#states.get(`${task}/${variant}`) !== 'ready') await this.#stateChanged.promise;
  }

  /** Milliseconds of one request from here to the worker and back. */
  async latencyMs(
    address: Pick<ExecuteRequest, 'task' | 'variant'>,
    tensors: readonly Tensor[],
  ): Promise<number> {
    const sequence = this.#sequence++;
    const requestId = `r${sequence}`;
    const answered = new Promise<void>((resolve) => this.#waiting.set(requestId, resolve));
    const startedAt = performance.now();
    const request = { requestId, sequence, revision: 1, budgetMs: 60_000, priority: 0, ...address };
    this.deliver({ type: 'execute-request', ...request }, tensors);
    await answered;
    this.#waiting.delete(requestId);
    return performance.now() - startedAt;
  }
}
