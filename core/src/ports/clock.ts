/** Time as it comes in from outside; tests bring their own. */
export interface Clock {
  /** Milliseconds on a monotonic scale; only differences mean anything. */
  now(): number;
  /** Milliseconds since 1970, for records that people read. */
  wallTime(): number;
  /** Resolves after `delayMs`. Rejects with the signal's reason if it aborts first. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}
