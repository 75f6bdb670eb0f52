import * as v from 'valibot';

const finite = v.pipe(v.number(), v.finite());
const count = v.pipe(v.number(), v.finite(), v.minValue(0));

/** How far predicted latencies were from the observed ones, as it travels: see `Calibration` in `core`. */
export const calibrationSchema = v.object({
  /** Requests that were observed; with 0, predictions are taken as they are. */
  samples: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  /** Added to the logarithm of a predicted latency; e^20 is more than any factor between two machines. */
  shift: v.pipe(finite, v.minValue(-20), v.maxValue(20)),
  /** Observations that the shift rests on. */
  weight: v.pipe(count, v.minValue(1)),
  /** Spread of the logarithm, as a multiple of the predicted one. */
  spread: v.pipe(finite, v.minValue(1e-3), v.maxValue(1e3)),
  /** Quantiles at the levels 0.5, 0.9, 0.95, 0.99 and 0.999 of the deviation, in spreads. */
  quantiles: v.pipe(v.array(v.pipe(finite, v.minValue(-1e3), v.maxValue(1e3))), v.length(5)),
});
export type CalibrationData = v.InferOutput<typeof calibrationSchema>;
