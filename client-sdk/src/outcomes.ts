import { LIMITS, type Outcome, type ProfileReport } from '@nearfar/protocol';
import type { Api } from './api.ts';

const SEND_AFTER_MS = 1_000;
/** A browser lets a page that goes send 64 KiB in all (Fetch standard, keepalive); the rest of it is left free. */
const MAX_REPORT_BYTES = 48 * 1024;

/** Gathers what the page did by itself and sends it to the mesh, without payloads, in batches. */
export class OutcomeReporter {
  readonly #api: Pick<Api, 'outcomes'>;
  readonly #takeProfiles: () => ProfileReport[];
  #waiting: Outcome[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(api: Pick<Api, 'outcomes'>, takeProfiles: () => ProfileReport[]) {
    this.#api = api;
    this.#takeProfiles = takeProfiles;
  }

  /** Adds an outcome; when there are too many unsent ones the oldest is forgotten. */
  add(outcome: Outcome): void {
    this.#waiting.push(outcome);
    if (this.#waiting.length > LIMITS.maxOutcomes) this.#waiting.shift();
    this.schedule();
  }

  /** Sends soon what has been measured, also without an outcome. */
  schedule(): void {
    this.#timer ??= setTimeout(() => void this.flush(), SEND_AFTER_MS);
  }

  /**
   * Sends what there is. Never rejects: reports are hints, and one that is lost is lost. `isLast` lets the requests
   * outlive the page.
   */
  async flush(isLast = false): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const outcomes = this.#waiting;
    this.#waiting = [];
    const profiles = this.#takeProfiles();
    if (outcomes.length === 0 && profiles.length === 0) return;
    const parts = inParts(outcomes, MAX_REPORT_BYTES);
    // The browser's allowance is for all that a page sends at its end, so the rest of it is given up.
    const sent = (isLast ? parts.slice(0, 1) : parts).map((part, index) =>
      this.#api.outcomes({ outcomes: part, profiles: index === 0 ? profiles : [] }, isLast),
    );
    await Promise.allSettled(sent);
  }
}

/** Splits into lists of about `maxBytes` of JSON each; at least one list, which may be empty. */
function inParts(outcomes: readonly Outcome[], maxBytes: number): Outcome[][] {
  let part: Outcome[] = [];
  const parts = [part];
  let bytes = 0;
  for (const outcome of outcomes) {
    const size = new TextEncoder().encode(JSON.stringify(outcome)).byteLength;
    if (part.length > 0 && bytes + size > maxBytes) {
      part = [];
      parts.push(part);
      bytes = 0;
    }
    part.push(outcome);
    bytes += size;
  }
  return parts;
}
