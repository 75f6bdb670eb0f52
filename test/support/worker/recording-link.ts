import type { LinkEnd, WorkerSideLink } from '@nearfar/core';
import type { CoordinatorMessage, ExecuteRequest, Tensor, WorkerMessage } from '@nearfar/protocol';

/** What a worker sent. */
export interface Sent {
  readonly message: WorkerMessage;
  readonly tensors: readonly Tensor[];
}

type Typed<Type extends WorkerMessage['type']> = Extract<WorkerMessage, { type: Type }>;

/** The worker's end of a link whose other end is the test. */
export class RecordingLink implements WorkerSideLink {
  readonly sent: Sent[] = [];
  readonly bufferedBytes = 0;
  end: LinkEnd | undefined;
  #handler: ((message: CoordinatorMessage, tensors: readonly Tensor[]) => void) | undefined;
  #closeHandler: ((end: LinkEnd) => void) | undefined;
  #waiters = new Set<() => void>();
  #sequence = 0;

  send(message: WorkerMessage, tensors: readonly Tensor[] = []): void {
    if (this.end !== undefined) return;
    this.sent.push({ message, tensors });
    for (const waiter of this.#waiters) waiter();
  }

  onMessage(handler: (message: CoordinatorMessage, tensors: readonly Tensor[]) => void): void {
    this.#handler = handler;
  }

  onClose(handler: (end: LinkEnd) => void): void {
    this.#closeHandler = handler;
  }

  close(code = 1_000, reason = ''): void {
    if (this.end !== undefined) return;
    this.end = { code, reason };
    this.#closeHandler?.(this.end);
  }

  /** Sends the worker a message. */
  deliver(message: CoordinatorMessage, tensors: readonly Tensor[] = []): void {
    this.#handler?.(message, tensors);
  }

  welcome(reportEveryMs = 1_000): void {
    this.deliver({ type: 'worker-welcome', protocol: 1, sessionId: 'session', reportEveryMs, credits: 64 });
  }

  /** Sends a request with the next sequence number. */
  execute(
    request: Pick<ExecuteRequest, 'requestId' | 'variant'> & Partial<ExecuteRequest>,
    tensors: readonly Tensor[],
  ): void {
    this.#sequence += 1;
    const defaults = { task: 'digits', revision: 1, budgetMs: 10_000, priority: 0, sequence: this.#sequence };
    this.deliver({ type: 'execute-request', ...defaults, ...request }, tensors);
  }

  /** The messages of one type so far. */
  of<Type extends WorkerMessage['type']>(type: Type): Typed<Type>[] {
    return this.sent.flatMap(({ message }) => (message.type === type ? [message as Typed<Type>] : []));
  }

  /** The answer to a request, with its tensors. */
  answer(requestId: string): Sent | undefined {
    return this.sent.find(({ message }) => 'requestId' in message && message.requestId === requestId);
  }

  /** Resolves as soon as `find` gives something, looking again at every message that the worker sends. */
  async until<Found>(find: () => Found | undefined): Promise<Found> {
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        const waiter = () => {
          this.#waiters.delete(waiter);
          resolve();
        };
        this.#waiters.add(waiter);
      });
    }
  }
}
