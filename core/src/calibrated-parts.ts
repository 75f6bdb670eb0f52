import type { Moments } from '@nearfar/protocol';
import { CALIBRATION_LEVELS, type CalibrationCurve } from './calibration.ts';
import { normalQuantile } from './distribution.ts';
import { type LatencyParts, totalLatency } from './estimate.ts';

/**
 * A latency as a calibration corrects it, as mean and variance: where it is to be added to others, or shown. The mean is
 * the calibrated one; the variance is the least with which a log-normal time of that mean has no quantile of the followed
 * levels above the median below the calibrated one. A time that cannot be corrected stays what it is.
 */
export function calibratedMoments(calibration: CalibrationCurve, time: Moments): Moments {
  const meanMs = calibration.meanMs(time);
  if (!(meanMs > 0) || !Number.isFinite(meanMs)) return time;
  let scale = 0;
  for (const level of CALIBRATION_LEVELS) {
    if (level <= 0.5) continue;
    // ln (quantile ÷ mean) = score × scale − scale² ÷ 2, which is largest at scale = score.
    const score = normalQuantile(level);
    const above = Math.log(calibration.quantileMs(time, level) / meanMs);
    scale = Math.max(scale, score - Math.sqrt(Math.max(0, score * score - 2 * above)));
  }
  return { meanMs, varianceMs2: meanMs * meanMs * Math.expm1(scale * scale) };
}

/**
 * The parts of a latency, stretched alike so that their sum has the calibrated moments: nobody observes which of them
 * was predicted wrongly.
 */
export function calibratedParts(parts: LatencyParts, calibration: CalibrationCurve): LatencyParts {
  const total = totalLatency(parts);
  const calibrated = calibratedMoments(calibration, total);
  if (!(total.meanMs > 0)) return parts;
  const meanFactor = calibrated.meanMs / total.meanMs;
  // Without any predicted variance to stretch, the calibrated one is shared out by the means.
  const isCertain = !(total.varianceMs2 > 0);
  const stretch = ({ meanMs, varianceMs2 }: Moments): Moments => ({
    meanMs: meanMs * meanFactor,
    varianceMs2:
      calibrated.varianceMs2 * (isCertain ? meanMs / total.meanMs : varianceMs2 / total.varianceMs2),
  });
  return {
    network: stretch(parts.network),
    queue: stretch(parts.queue),
    compute: stretch(parts.compute),
    load: stretch(parts.load),
  };
}
