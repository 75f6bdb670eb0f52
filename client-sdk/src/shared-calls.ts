import { callListener } from './call-listener.ts';

interface Caller<Update> {
  readonly onUpdate: ((update: Update) => void) | undefined;
}

interface SharedCall<Value, Update> {
  readonly callers: Set<Caller<Update>>;
  readonly controller: AbortController;
  readonly result: Promise<Value>;
  latest: Update | undefined;
}

/** What one caller brings along. */
export interface JoinOptions<Update> {
  readonly signal?: AbortSignal | undefined;
  readonly onUpdate?: ((update: Update) => void) | undefined;
}

/**
 * Work that several callers may wait for at once, by key. A caller whose signal aborts leaves with the signal's
 * reason; the work itself is aborted when the last one has left. What an `onUpdate` throws hurts neither the work nor
 * the other callers.
 */
export class SharedCalls<Value, Update> {
  readonly #calls = new Map<string, SharedCall<Value, Update>>();

  /** Joins the work of `key`, starting it if nobody has. A late caller gets the latest update at once. */
  async join(
    key: string,
    { signal, onUpdate }: JoinOptions<Update>,
    start: (signal: AbortSignal, update: (update: Update) => void) => Promise<Value>,
  ): Promise<Value> {
    signal?.throwIfAborted();
    const call = this.#calls.get(key) ?? this.#start(key, start);
    const caller: Caller<Update> = { onUpdate };
    call.callers.add(caller);
    if (call.latest !== undefined) callListener(onUpdate, call.latest);
    try {
      return await abortable(call.result, signal);
    } finally {
      call.callers.delete(caller);
      if (call.callers.size === 0 && this.#calls.get(key) === call) {
        this.#calls.delete(key);
        call.controller.abort(signal?.reason);
      }
    }
  }

  #start(
    key: string,
    start: (signal: AbortSignal, update: (update: Update) => void) => Promise<Value>,
  ): SharedCall<Value, Update> {
    const controller = new AbortController();
    const callers = new Set<Caller<Update>>();
    const update = (latest: Update) => {
      call.latest = latest;
      for (const { onUpdate } of callers) callListener(onUpdate, latest);
    };
    // A microtask later, so that `call` is there when the work sends its first update.
    const result = Promise.resolve()
      .then(() => start(controller.signal, update))
      .finally(() => {
        if (this.#calls.get(key) === call) this.#calls.delete(key);
      });
    const call: SharedCall<Value, Update> = { callers, controller, result, latest: undefined };
    // Each caller handles the result it awaits; once all have left, nobody is there to.
    result.catch(() => undefined);
    this.#calls.set(key, call);
    return call;
  }
}

/** Settles as `promise` does, or rejects with the signal's reason if that aborts first. */
export async function abortable<Value>(promise: Promise<Value>, signal?: AbortSignal): Promise<Value> {
  if (signal === undefined) return await promise;
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  try {
    // The abort first, so that it also wins over a promise that has settled; the race handles what `promise` rejects with.
    return await Promise.race([aborted.promise, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
