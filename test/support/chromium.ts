import { describe, test } from 'vitest';
import { findChromium } from '../../cli/bin/find-chromium.js';

const REASON = 'No Chromium was found: install one or point NEARFAR_CHROMIUM at it';

/**
 * Declares a suite that drives a real Chromium, whose path `declare` gets.
 *
 * Without a Chromium the suite is one test that is skipped with the reason; where `CI` is `true` that
 * test fails, since a browser that is missing there is a broken setup and not a choice.
 */
export function describeWithChromium(name: string, declare: (executablePath: string) => void): void {
  const executablePath = findChromium();
  describe(name, () => {
    if (executablePath !== undefined) {
      declare(executablePath);
      return;
    }
    test('finds a Chromium', ({ skip }) => {
      if (process.env.CI === 'true') throw new Error(REASON);
      skip(REASON);
    });
  });
}
