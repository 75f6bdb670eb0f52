/** Longest wait for an idle moment, in milliseconds: a busy page is measured too, just later. */
const IDLE_WITHIN_MS = 500;

/** Whether this page asks not to be used: it is hidden, or its visitor saves data. */
export function isSaving(): boolean {
  if (typeof document !== 'undefined' && document.visibilityState === 'hidden') return true;
  const { connection } = globalThis.navigator as Navigator & { readonly connection?: { saveData?: boolean } };
  return connection?.saveData === true;
}

/** Resolves in the page's next idle moment, or after `IDLE_WITHIN_MS`; at once where the browser tells of none. */
export async function whenIdle(): Promise<void> {
  if (typeof requestIdleCallback !== 'function') return;
  await new Promise<void>((resolve) => {
    requestIdleCallback(() => resolve(), { timeout: IDLE_WITHIN_MS });
  });
}

/** Calls `handler` when the page is about to go; gives the way to stop that. */
export function onLeave(handler: () => void): () => void {
  globalThis.addEventListener?.('pagehide', handler);
  return () => globalThis.removeEventListener?.('pagehide', handler);
}
