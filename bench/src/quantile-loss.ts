/** The quantile ("pinball") loss of predicting that a share `level` of values lies below `quantile`, in the values' unit. */
export function quantileLoss(actual: number, quantile: number, level: number): number {
  return actual >= quantile ? level * (actual - quantile) : (1 - level) * (quantile - actual);
}
