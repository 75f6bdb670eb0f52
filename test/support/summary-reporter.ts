import type { Reporter, SerializedError, TestModule, TestSuite } from 'vitest/node';

/** What a test run came to. Files and suites that broke outside a test count as failed. */
export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Gives the one line that ends a run: `N passed, N failed`, with `, N skipped` when there are skips. */
export function summaryLine({ passed, failed, skipped }: TestCounts): string {
  const line = `${passed} passed, ${failed} failed`;
  return skipped === 0 ? line : `${line}, ${skipped} skipped`;
}

/**
 * Counts the tests of a run.
 *
 * A file that could not be collected, a suite whose hook threw, a test that never finished and an
 * unhandled error each count as one failure, since none of them is seen in the tests alone.
 */
export function countTests(
  testModules: readonly TestModule[],
  unhandledErrors: readonly SerializedError[],
): TestCounts {
  let passed = 0;
  let skipped = 0;
  let failed = unhandledErrors.length;
  for (const testModule of testModules) {
    failed += brokenOutsideTests(testModule);
    for (const suite of testModule.children.allSuites()) failed += brokenOutsideTests(suite);
    for (const test of testModule.children.allTests()) {
      const { state } = test.result();
      if (state === 'passed') passed += 1;
      else if (state === 'skipped') skipped += 1;
      else failed += 1;
    }
  }
  return { passed, failed, skipped };
}

function brokenOutsideTests(owner: TestModule | TestSuite): number {
  return owner.errors().length > 0 ? 1 : 0;
}

/** Prints the summary line as the very last line of the process and keeps its exit code honest. */
export default class SummaryReporter implements Reporter {
  #counts: TestCounts = { passed: 0, failed: 0, skipped: 0 };

  onInit(): void {
    // The default reporter still prints after `onTestRunEnd`; only the exit event comes after everything.
    process.once('exit', (exitCode) => {
      const failedSilently = exitCode !== 0 && this.#counts.failed === 0;
      const counts = failedSilently ? { ...this.#counts, failed: 1 } : this.#counts;
      if (counts.failed > 0) process.exitCode = exitCode === 0 ? 1 : exitCode;
      process.stdout.write(`\n${summaryLine(counts)}\n`);
    });
  }

  onTestRunEnd(testModules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    this.#counts = countTests(testModules, unhandledErrors);
  }
}
