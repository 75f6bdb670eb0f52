import { defineConfig } from 'vitest/config';

interface ProjectShape {
  readonly name: string;
  readonly testTimeoutMs: number;
  readonly order: number;
  /** Suites that start servers, browsers or worker processes share two cores badly: one file at a time. */
  readonly oneFileAtATime: boolean;
}

function project({ name, testTimeoutMs, order, oneFileAtATime }: ProjectShape) {
  return {
    extends: true as const,
    test: {
      name,
      include: [`test/${name}/**/*.test.ts`],
      testTimeout: testTimeoutMs,
      hookTimeout: testTimeoutMs,
      maxWorkers: oneFileAtATime ? 1 : '100%',
      // Groups run one after another, so that a busy suite does not distort the timing of the next. Counted from
      // 1, since Vitest moves files of group 0 to the end when there is one worker.
      sequence: { groupOrder: order },
    },
  };
}

export default defineConfig({
  test: {
    environment: 'node',
    passWithNoTests: false,
    retry: 0,
    teardownTimeout: 20_000,
    reporters: ['default', './test/support/summary-reporter.ts'],
    projects: [
      project({ name: 'unit', testTimeoutMs: 20_000, order: 1, oneFileAtATime: false }),
      project({ name: 'models', testTimeoutMs: 120_000, order: 2, oneFileAtATime: true }),
      project({ name: 'integration', testTimeoutMs: 60_000, order: 3, oneFileAtATime: true }),
      project({ name: 'workerd', testTimeoutMs: 60_000, order: 4, oneFileAtATime: true }),
      project({ name: 'browser', testTimeoutMs: 120_000, order: 5, oneFileAtATime: true }),
    ],
  },
});
