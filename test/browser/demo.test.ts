import { expect, test } from 'vitest';
import { describeWithChromium } from '../support/chromium.ts';
import { runNearfar } from '../support/run-nearfar.ts';

interface DemoReport {
  readonly tiers: Readonly<
    Record<string, { requests: number; p50_ms: number; p99_ms: number; attainment: number }>
  >;
  readonly errors: number;
  readonly wrong_answers: number;
  readonly local_only_payloads_sent: number;
  readonly cost_usd: number;
  readonly cost_all_pool_usd: number;
}

describeWithChromium('nearfar demo', () => {
  test('all three tiers serve, every answer is right, and no local payload leaves', async () => {
    const { code, stdout, stderr } = await runNearfar(['demo', '--json', '--seconds', '10']);
    expect(code, stderr).toBe(0);
    const report = JSON.parse(stdout) as DemoReport;
    expect(report).toMatchObject({ errors: 0, wrong_answers: 0, local_only_payloads_sent: 0 });
    for (const tier of ['browser', 'edge', 'pool']) {
      const summary = report.tiers[tier];
      expect(summary?.requests, tier).toBeGreaterThan(0);
      expect(summary?.p99_ms, tier).toBeGreaterThanOrEqual(summary?.p50_ms ?? Number.POSITIVE_INFINITY);
      expect(summary?.attainment, tier).toBeLessThanOrEqual(1);
    }
    expect(report.cost_usd).toBeGreaterThan(0);
    expect(report.cost_all_pool_usd).toBeGreaterThan(0);
  });
});
