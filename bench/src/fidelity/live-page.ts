import { type Browser, type CDPSession, chromium, type Page } from 'playwright-core';
import type { MeshPrograms } from '../bench.ts';
import type { Demands, EndedRequest, PlannedRequest } from './requests.ts';

/** A real page with the SDK, on the mesh's own machine. */
export interface LivePage {
  /** Class by which the mesh shares what the page measured. */
  readonly deviceClass: string;
  /**
   * Makes the requests at their times, whether or not the former ones have ended; the schedule starts at `startsAt`,
   * milliseconds since 1970.
   */
  replay(requests: readonly PlannedRequest[], startsAt: number): Promise<EndedRequest[]>;
  /** Milliseconds of each of so many requests, one after another, all answered in this page or all by the mesh. */
  measure(requests: number, where: 'here' | 'mesh'): Promise<number[]>;
  close(): Promise<void>;
}

/** What the SDK's bare page has in its global scope, as far as it is used here. */
interface DriverScope {
  readonly nearfarDriver: {
    open(token: string, engines: readonly string[]): unknown;
    readonly mesh: {
      prepare(task: string, options: { maxVariantBytes: number; minAccuracy: number }): Promise<unknown>;
      status(): { readonly device?: { readonly deviceClass: string } };
    };
    call(request: {
      readonly task: string;
      readonly name: string;
      readonly shape: readonly number[];
      readonly values: readonly number[];
      readonly sloMs: number;
      readonly sloTarget: number;
      readonly minAccuracy: number;
      readonly privacy: 'any' | 'local_only';
    }): Promise<{ readonly status: 'answered' | 'failed'; readonly tier?: EndedRequest['tier'] }>;
  };
}

/** The largest sample model is smaller; the SDK's own limit is about what a visitor should download unasked. */
const MAX_VARIANT_BYTES = 64 * 1024 * 1024;
/** A deadline that no measured run misses, so that none is given up; and one that this page cannot meet, but the mesh. */
const PATIENT_SLO_MS = 60_000;
const HURRIED_SLO_MS = 30;

/**
 * Opens the SDK's bare page, which computes in a worker thread by WebAssembly, and prepares the task in it.
 *
 * `throttling` is the DevTools protocol's CPU throttling rate: 2 = half as fast. Chromium throttles the page's main thread
 * by keeping it busy, also while it has nothing to do, and leaves worker threads alone: so it takes part of a core away
 * from everybody else on the machine, and the page's own inference is slowed by that alone.
 */
export async function openLivePage(
  { findChromium }: MeshPrograms,
  url: string,
  demands: Demands,
  {
    input,
    throttling,
  }: {
    readonly input: { readonly name: string; readonly shape: readonly number[] };
    readonly throttling: number;
  },
): Promise<LivePage> {
  const found = findChromium();
  if (found === undefined) {
    throw new Error('Expected a Chromium: install one, or set NEARFAR_CHROMIUM to its path');
  }
  const browser = await chromium.launch({ executablePath: found.executablePath, args: [...found.flags] });
  try {
    const page = await browser.newPage();
    await page.goto(`${url}/driver`);
    await page.waitForFunction(() => 'nearfarDriver' in globalThis);
    const deviceClass = await prepare(page, demands);
    const session: CDPSession = await page.context().newCDPSession(page);
    await session.send('Emulation.setCPUThrottlingRate', { rate: throttling });
    return new OpenPage(browser, page, deviceClass, { ...demands, ...input });
  } catch (error) {
    await browser.close();
    throw error;
  }
}

async function prepare(page: Page, { task, minAccuracy }: Demands): Promise<string> {
  return await page.evaluate(
    async ({ name, maxVariantBytes, accuracy }) => {
      const { nearfarDriver } = globalThis as unknown as DriverScope;
      nearfarDriver.open('none is asked for', ['ort-wasm']);
      await nearfarDriver.mesh.prepare(name, { maxVariantBytes, minAccuracy: accuracy });
      return nearfarDriver.mesh.status().device?.deviceClass ?? 'unknown';
    },
    { name: task, maxVariantBytes: MAX_VARIANT_BYTES, accuracy: minAccuracy },
  );
}

class OpenPage implements LivePage {
  readonly deviceClass: string;
  readonly #browser: Browser;
  readonly #page: Page;
  readonly #request: Demands & { readonly name: string; readonly shape: readonly number[] };

  constructor(
    browser: Browser,
    page: Page,
    deviceClass: string,
    request: Demands & { readonly name: string; readonly shape: readonly number[] },
  ) {
    this.#browser = browser;
    this.#page = page;
    this.deviceClass = deviceClass;
    this.#request = request;
  }

  async replay(requests: readonly PlannedRequest[], startsAt: number): Promise<EndedRequest[]> {
    const { task, name, shape, pageSloMs: sloMs, sloTarget, minAccuracy } = this.#request;
    const ended = await this.#page.evaluate(
      async ({ arrivalsMs, startAt, call }) => {
        const { nearfarDriver } = globalThis as unknown as DriverScope;
        const now = () => performance.timeOrigin + performance.now();
        const values = new Array<number>(call.shape.reduce((product, size) => product * size, 1)).fill(0.5);
        const started: Promise<{ sentMs: number; latencyMs: number; tier: EndedRequest['tier'] }>[] = [];
        for (const arrivalMs of arrivalsMs) {
          const waitMs = startAt + arrivalMs - now();
          if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
          const sentAt = now();
          const answer = nearfarDriver.call({ ...call, values });
          started.push(
            answer.then(({ status, tier }) => ({
              sentMs: sentAt - startAt,
              latencyMs: now() - sentAt,
              tier: status === 'answered' ? tier : undefined,
            })),
          );
        }
        return await Promise.all(started);
      },
      {
        arrivalsMs: requests.map(({ arrivalMs }) => arrivalMs),
        startAt: startsAt,
        call: { task, name, shape, sloMs, sloTarget, minAccuracy, privacy: 'any' as const },
      },
    );
    return requests.map((request, index) => {
      const result = ended[index];
      if (result === undefined) throw new Error('Expected the page to give a result for each request');
      const { sentMs, latencyMs, tier } = result;
      const isOnTime = tier !== undefined && latencyMs <= sloMs;
      return { ...request, sentMs, latencyMs, isOnTime, tier };
    });
  }

  async measure(requests: number, where: 'here' | 'mesh'): Promise<number[]> {
    const { task, name, shape, sloTarget, minAccuracy } = this.#request;
    return await this.#page.evaluate(
      async ({ count, isHere, call }) => {
        const { nearfarDriver } = globalThis as unknown as DriverScope;
        const values = new Array<number>(call.shape.reduce((product, size) => product * size, 1)).fill(0.5);
        const tookMs: number[] = [];
        for (let tries = 0; tookMs.length < count && tries < 2 * count; tries += 1) {
          const startedAt = performance.now();
          const { tier } = await nearfarDriver.call({ ...call, values });
          const isWanted = tier !== undefined && (tier === 'browser') === isHere;
          if (isWanted) tookMs.push(performance.now() - startedAt);
        }
        return tookMs;
      },
      {
        count: requests,
        isHere: where === 'here',
        call: {
          task,
          name,
          shape,
          minAccuracy,
          sloTarget,
          sloMs: where === 'here' ? PATIENT_SLO_MS : HURRIED_SLO_MS,
          privacy: where === 'here' ? ('local_only' as const) : ('any' as const),
        },
      },
    );
  }

  async close(): Promise<void> {
    await this.#browser.close();
  }
}
