/** Things that were opened and must be closed again, whenever and however the work with them ends. */
export class Resources {
  readonly #signal: AbortSignal;
  readonly #closers: (() => Promise<unknown>)[] = [];

  /** After `signal` aborted, nothing more is opened. */
  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /**
   * Opens one thing; from this moment on `close` takes care of it, also while it is still opening.
   *
   * @throws the signal's reason when that has aborted, before or meanwhile.
   */
  async open<Thing>(start: () => Promise<Thing>, close: (thing: Thing) => Promise<unknown>): Promise<Thing> {
    this.#signal.throwIfAborted();
    const opening = start();
    // What could not be opened needs no closing; whoever opened it was told why.
    this.#closers.push(() => opening.then(close, () => undefined));
    const thing = await opening;
    this.#signal.throwIfAborted();
    return thing;
  }

  /** Closes everything, the newest first; what does not close does not keep the rest open. May be called twice. */
  async close(): Promise<void> {
    const problems: unknown[] = [];
    for (const close of this.#closers.splice(0).reverse()) {
      await close().catch((error: unknown) => problems.push(error));
    }
    if (problems.length > 0) throw new AggregateError(problems, `Could not close everything: ${problems[0]}`);
  }
}
