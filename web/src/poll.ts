/** Runs `refresh` now and then `everyMs` after each time it ended; pauses while the page is hidden. */
export function poll(refresh: () => Promise<void>, everyMs: number, onPause: () => void): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isRunning = false;
  const run = async () => {
    clearTimeout(timer);
    if (isRunning) return;
    isRunning = true;
    try {
      await refresh();
    } finally {
      isRunning = false;
      if (!document.hidden) timer = setTimeout(() => void run(), everyMs);
    }
  };
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) {
      void run();
      return;
    }
    clearTimeout(timer);
    onPause();
  });
  void run();
}
