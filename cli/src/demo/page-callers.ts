import { float32Values } from '@nearfar/protocol';
import { type Browser, chromium, type Page } from 'playwright-core';
import { CHROMIUM_FLAGS, findChromium } from '#find-chromium';
import type { Call, CallerKind, CallResult } from './calls.ts';
import type { PageDriver } from './page-driver.ts';

/** Round trip between the far pages and the mesh, in milliseconds. */
export const FAR_ROUND_TRIP_MS = 150;

/** A page next to the mesh, and two behind a long way, one of which never lets a payload leave. */
export const NEAR_PAGE_KIND: CallerKind = {
  name: 'page, near',
  network: 'loopback',
  sloMs: 140,
  privacy: 'any',
  isDemanding: false,
};
export const FAR_PAGE_KIND: CallerKind = {
  name: 'page, far',
  network: `+${FAR_ROUND_TRIP_MS} ms emulated`,
  sloMs: 140,
  privacy: 'any',
  isDemanding: false,
};
export const FAR_ACCURATE_PAGE_KIND: CallerKind = {
  name: 'page, far, accurate',
  network: `+${FAR_ROUND_TRIP_MS} ms emulated`,
  sloMs: 800,
  privacy: 'any',
  isDemanding: true,
};
export const LOCAL_PAGE_KIND: CallerKind = {
  name: 'page, local_only',
  network: `+${FAR_ROUND_TRIP_MS} ms emulated`,
  sloMs: 250,
  privacy: 'local_only',
  isDemanding: false,
};

/** What the bare page puts into its global scope. */
interface DriverPage {
  readonly nearfarDriver: PageDriver;
}

/** A page with the SDK in a real browser. */
export interface CallingPage {
  /** Calls once through the SDK. Never rejects: a failure is a result. */
  call(call: Call): Promise<CallResult>;
  /** Requests with a payload that this page sent so far, by the browser's own network log. */
  readonly payloadsSent: number;
  readonly device: string;
}

/** Starts the browser that the demo's pages run in. */
export async function startBrowser(): Promise<Browser> {
  const executablePath = findChromium();
  if (executablePath === undefined) {
    throw new Error('needs Chromium and found none; install it or set NEARFAR_CHROMIUM to its path');
  }
  return await chromium.launch({
    executablePath,
    args: [...CHROMIUM_FLAGS],
    // Playwright would end this process with the browser, and leave the mesh and its folder behind.
    handleSIGINT: false,
    handleSIGTERM: false,
  });
}

/** Opens the SDK's bare page and prepares every task on its device. */
export async function openCallingPage(
  browser: Browser,
  url: string,
  token: string,
  tasks: readonly string[],
): Promise<CallingPage> {
  const page = await browser.newPage();
  let payloadsSent = 0;
  page.on('request', (request) => {
    if (request.method() === 'POST' && request.url().includes('/infer')) payloadsSent += 1;
  });
  await page.goto(`${url}/driver`);
  const device = await prepare(page, token, tasks);
  return {
    device,
    get payloadsSent() {
      return payloadsSent;
    },
    call: (call) => callInPage(page, call),
  };
}

async function prepare(page: Page, token: string, tasks: readonly string[]): Promise<string> {
  await page.waitForFunction(() => 'nearfarDriver' in globalThis);
  return await page.evaluate(
    ([driverToken, driverTasks]) => {
      const { nearfarDriver } = globalThis as unknown as DriverPage;
      nearfarDriver.open(driverToken);
      return nearfarDriver.prepare(driverTasks);
    },
    [token, tasks] as const,
  );
}

async function callInPage(page: Page, call: Call): Promise<CallResult> {
  const request = {
    task: call.task,
    name: call.input.name,
    shape: [...call.input.shape],
    values: Array.from(float32Values(call.input)),
    sloMs: call.kind.sloMs,
    minAccuracy: call.minAccuracy,
    privacy: call.kind.privacy,
  };
  try {
    const answer = await page.evaluate(
      (input) => (globalThis as unknown as DriverPage).nearfarDriver.call(input),
      request,
    );
    return { ...answer, call };
  } catch (error) {
    // Only the page itself can fail here (a crash, a closed tab); the SDK's own errors come back as results.
    return {
      status: 'failed',
      call,
      code: 'MESH_INTERNAL',
      message: error instanceof Error ? error.message : String(error),
    };
  }
}
