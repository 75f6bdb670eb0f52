import { setTimeout as sleep } from 'node:timers/promises';
import type { HttpCaller } from './http-caller.ts';
import type { LivePage } from './live-page.ts';
import type { EndedRequest, PlannedRequest } from './requests.ts';

/** Until the first request: the page has to have its part of the schedule by then. */
const LEAD_MS = 300;

/** A schedule that was replayed. */
export interface Replayed {
  /** When its first millisecond was, in milliseconds since 1970. */
  readonly startedAt: number;
  /** In the order in which they were made. */
  readonly requests: readonly EndedRequest[];
}

/**
 * Makes the requests of a schedule against the live mesh, each at its time, whether or not the former ones have ended (an
 * open loop).
 */
export async function replay(
  http: HttpCaller,
  page: LivePage,
  schedule: readonly PlannedRequest[],
  sloMs: number,
): Promise<Replayed> {
  const startsAt = performance.timeOrigin + performance.now() + LEAD_MS;
  const [ofPage, others] = await Promise.all([
    page.replay(
      schedule.filter(({ isOfPage }) => isOfPage),
      startsAt,
    ),
    overHttp(
      http,
      schedule.filter(({ isOfPage }) => !isOfPage),
      startsAt,
      sloMs,
    ),
  ]);
  return { startedAt: startsAt, requests: [...ofPage, ...others].toSorted((a, b) => a.sentMs - b.sentMs) };
}

async function overHttp(
  http: HttpCaller,
  requests: readonly PlannedRequest[],
  startsAt: number,
  sloMs: number,
): Promise<EndedRequest[]> {
  const now = () => performance.timeOrigin + performance.now() - startsAt;
  const started: Promise<EndedRequest>[] = [];
  for (const request of requests) {
    const waitMs = request.arrivalMs - now();
    if (waitMs > 0) await sleep(waitMs);
    const sentMs = now();
    started.push(
      http.call().then((result) => {
        const isOnTime = result.tier !== undefined && result.latencyMs <= sloMs;
        return { ...request, ...result, sentMs, isOnTime };
      }),
    );
  }
  return await Promise.all(started);
}
