/**
 * Calls a listener of the app with `value`. What it throws is the app's own and stops nothing of ours: it is reported
 * as the browser reports any error that nobody caught.
 */
export function callListener<Value>(listener: ((value: Value) => void) | undefined, value: Value): void {
  try {
    listener?.(value);
  } catch (error) {
    if (typeof reportError === 'function') reportError(error);
    else
      queueMicrotask(() => {
        throw error;
      });
  }
}
