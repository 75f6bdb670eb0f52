/** Flags for a headless Chromium with WebGPU that talks to nobody but the page under test. */
export declare const CHROMIUM_FLAGS: readonly string[];

/**
 * Finds a Chromium or Chrome that starts: `NEARFAR_CHROMIUM` and nothing else if it is set, then the
 * `PATH`, then the usual places of the platform, then what Playwright downloaded. It starts each
 * candidate once with `--version`, which takes a fraction of a second: call it once and keep the answer.
 */
export declare function findChromium(): string | undefined;
