import * as v from 'valibot';

const usd = v.pipe(v.number(), v.finite(), v.minValue(0));

/** The price book: one dated file, overridable by the operator. All prices in US dollars. */
export const pricesSchema = v.object({
  /** Day on which the prices were read, as YYYY-MM-DD. */
  date: v.pipe(v.string(), v.isoDate()),
  edge: v.object({
    /** CPU time of the edge. */
    usdPerCpuHour: usd,
    source: v.string(),
  }),
  pool: v.object({
    /** Rate of a pool worker by what it runs on, unless the worker names its own. */
    usdPerHour: v.object({ cuda: usd, webgpu: usd, cpu: usd }),
    source: v.string(),
  }),
  egress: v.object({
    /** Answers, from the mesh to callers. */
    answersUsdPerGb: usd,
    /** Weights and runtimes, from the mesh to pages. */
    artifactsUsdPerGb: usd,
    source: v.string(),
  }),
  browser: v.object({
    /** Price that we put on the visitor's energy, so that it is not treated as free. */
    energyUsdPerHour: usd,
    /** Requests over which one download is spread. */
    expectedReuse: v.pipe(v.number(), v.minValue(1)),
    source: v.string(),
  }),
});
export type Prices = v.InferOutput<typeof pricesSchema>;
