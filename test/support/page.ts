import type { Answer, EngineName, InferOptions, ReadyVariant } from '@nearfar/client';
// What the bare page puts into its global scope.
import type {} from '@nearfar/web';
import type { BrowserContext, Page } from 'playwright-core';

/** Opens the SDK's bare page of the mesh at `url`, and the mesh in it. */
export async function openDriver(
  context: BrowserContext,
  url: string,
  token: string,
  engines?: readonly EngineName[],
): Promise<Page> {
  const page = await context.newPage();
  await page.goto(`${url}/driver`);
  await page.waitForFunction(() => 'nearfarDriver' in globalThis);
  await page.evaluate(
    ([clientToken, wanted]) => {
      nearfarDriver.open(clientToken, wanted ?? undefined);
    },
    [token, engines ?? null] as const,
  );
  return page;
}

/** Serves the mesh at `url` to the context's pages from a host that browsers do not trust, over plain HTTP; gives its URL. */
export async function serveInsecurely(context: BrowserContext, url: string): Promise<string> {
  const insecure = 'http://mesh.example';
  await context.route(`${insecure}/**`, async (route) => {
    const response = await route.fetch({ url: route.request().url().replace(insecure, url) });
    await route.fulfill({ response });
  });
  return insecure;
}

/** Sends everything that the mesh at `url` gives to the context's pages with a content security policy. */
export async function servePolicy(context: BrowserContext, url: string, policy: string): Promise<void> {
  await context.route(`${url}/**`, async (route) => {
    const response = await route.fetch();
    const headers = { ...response.headers(), 'content-security-policy': policy };
    await route.fulfill({ response, headers });
  });
}

/** Asks the page's mesh about one empty picture as pixels, which the page has to read first; gives the tier. */
export async function inferPixels(page: Page): Promise<string> {
  return await page.evaluate(async () => {
    const answer = await nearfarDriver.mesh.infer('digits', new ImageData(64, 64), { sloMs: 10_000 });
    return answer.placement.tier;
  });
}

/** Makes the page's device ready for a task. Rejects with `<code>: <message> <details>`. */
export async function prepareInPage(page: Page, task: string): Promise<readonly ReadyVariant[]> {
  return await page.evaluate(async (name) => {
    try {
      return await nearfarDriver.mesh.prepare(name);
    } catch (error) {
      const { code, message, details } = error as { code?: string; message: string; details?: unknown };
      throw new Error(`${code}: ${message} ${JSON.stringify(details)}`);
    }
  }, task);
}

/** An answer as it leaves the page. */
export type PlainAnswer = Pick<Answer, 'predictions' | 'placement' | 'explanation'>;

/** Asks the page's mesh about one empty picture of the task. Rejects with `<code>: <message>`. */
export async function inferZeros(
  page: Page,
  options: Omit<InferOptions, 'signal'>,
  task = 'digits',
): Promise<PlainAnswer> {
  return await page.evaluate(
    async ([name, demands]) => {
      const image = {
        name: 'image',
        datatype: 'FP32' as const,
        shape: [1, 1, 28, 28],
        data: new Uint8Array(28 * 28 * 4),
      };
      try {
        const { predictions, placement, explanation } = await nearfarDriver.mesh.infer(name, image, demands);
        return { predictions, placement, ...(explanation !== undefined && { explanation }) };
      } catch (error) {
        const { code, message } = error as { code?: string; message: string };
        throw new Error(`${code}: ${message}`);
      }
    },
    [task, options] as const,
  );
}

/** The tensor that the SDK makes of a picture file in the page. */
export async function preprocessInPage(
  page: Page,
  task: string,
  bytes: Uint8Array,
  type: string,
): Promise<number[]> {
  return await page.evaluate(
    async ([name, base64, mediaType]) => {
      const file = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      const [tensor] = await nearfarDriver.mesh.preprocess(name, new Blob([file], { type: mediaType }));
      if (tensor === undefined) throw new Error('Expected one tensor');
      const { buffer, byteOffset, byteLength } = tensor.data;
      return Array.from(new Float32Array(buffer, byteOffset, byteLength / 4));
    },
    [task, Buffer.from(bytes).toString('base64'), type] as const,
  );
}

/** Infers `runs` times in the page; the longest time between two turns of its event loop meanwhile. */
export async function longestGapMs(
  page: Page,
  runs: number,
): Promise<{ readonly gapMs: number; readonly tiers: readonly string[] }> {
  return await page.evaluate(async (count) => {
    const channel = new MessageChannel();
    let gapMs = 0;
    let last = performance.now();
    let isDone = false;
    channel.port1.onmessage = () => {
      const now = performance.now();
      gapMs = Math.max(gapMs, now - last);
      last = now;
      if (!isDone) setTimeout(() => channel.port2.postMessage(0), 1);
    };
    channel.port2.postMessage(0);
    const tiers: string[] = [];
    const pixels = new ImageData(512, 512);
    for (let run = 0; run < count; run += 1) {
      const answer = await nearfarDriver.mesh.infer('digits', pixels, {
        sloMs: 10_000,
        privacy: 'local_only',
      });
      tiers.push(answer.placement.tier);
    }
    isDone = true;
    return { gapMs, tiers };
  }, runs);
}

/** Asks about one empty picture every `everyMs`; how many of these decisions waited for the network, and where they led. */
export async function inferSteadily(
  page: Page,
  { count, everyMs, options }: { count: number; everyMs: number; options: Omit<InferOptions, 'signal'> },
): Promise<{ readonly total: number; readonly waited: number; readonly tiers: readonly string[] }> {
  return await page.evaluate(
    async ([times, intervalMs, demands]) => {
      const { mesh } = nearfarDriver;
      const shape = [1, 1, 28, 28];
      const image = { name: 'image', datatype: 'FP32' as const, shape, data: new Uint8Array(28 * 28 * 4) };
      const before = mesh.status().decisions;
      const tiers: string[] = [];
      for (let run = 0; run < times; run += 1) {
        tiers.push((await mesh.infer('digits', image, demands)).placement.tier);
        await new Promise((resolve) => setTimeout(resolve, intervalMs));
      }
      const { total, waited } = mesh.status().decisions;
      return { total: total - before.total, waited: waited - before.waited, tiers };
    },
    [count, everyMs, options] as const,
  );
}

/** Prepares the context's pages for `crashEngines`: their workers end, once armed, as soon as they are sent a run. */
export async function armWorkers(context: BrowserContext): Promise<void> {
  await context.addInitScript(() => {
    const real = globalThis.Worker;
    globalThis.Worker = class extends real {
      override postMessage(
        message: { call?: { kind?: string } },
        options: Transferable[] | StructuredSerializeOptions = {},
      ): void {
        super.postMessage(message, Array.isArray(options) ? { transfer: options } : options);
        if (!('isArmed' in globalThis) || message.call?.kind !== 'run') return;
        Reflect.deleteProperty(globalThis, 'isArmed');
        this.terminate();
        // What a browser sends when a worker's script or process dies.
        this.dispatchEvent(new ErrorEvent('error', { message: 'The engine is gone' }));
      }
    };
  });
}

/** Lets the page's engine die with the next run, and makes that request; gives the tiers that failed meanwhile. */
export async function crashEngines(
  page: Page,
  options: Omit<InferOptions, 'signal'>,
): Promise<{ readonly answer: PlainAnswer; readonly failovers: readonly string[] }> {
  await page.evaluate(() => {
    const failovers: string[] = [];
    nearfarDriver.mesh.addEventListener('failover', (event) => failovers.push(event.detail.from));
    Object.assign(globalThis, { failovers, isArmed: true });
  });
  const answer = await inferZeros(page, options);
  const failovers = await page.evaluate(() => (globalThis as unknown as { failovers: string[] }).failovers);
  return { answer, failovers };
}

/** A JPEG of coloured blocks as the browser encodes it, with its colours at half the size (4:2:0). */
export async function encodeJpegInPage(page: Page, width: number, height: number): Promise<Uint8Array> {
  const bytes = await page.evaluate(
    async ([width, height]) => {
      const canvas = new OffscreenCanvas(width, height);
      const context = canvas.getContext('2d') as OffscreenCanvasRenderingContext2D;
      for (let block = 0; block < 60; block += 1) {
        context.fillStyle = `hsl(${block * 37} 100% 50%)`;
        context.fillRect((block * 53) % width, (block * 29) % height, width / 5, height / 4);
      }
      const file = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.8 });
      return Array.from(new Uint8Array(await file.arrayBuffer()));
    },
    [width, height] as const,
  );
  return Uint8Array.from(bytes);
}
