export {
  type BatchPlan,
  type BatchRule,
  formBatch,
  LEAST_SHARE,
  leastServiceMs,
  type Waiting,
} from './batch.ts';
export { calibratedMoments, calibratedParts } from './calibrated-parts.ts';
export {
  CALIBRATION_LEVELS,
  Calibration,
  type CalibrationCurve,
  type CalibrationData,
  MIN_CALIBRATION_REQUESTS,
  type Promised,
} from './calibration.ts';
export {
  CalibrationBook,
  type CalibrationBookOptions,
  type CalibrationKey,
  PlacementCurve,
} from './calibration-book.ts';
export { type Shift, ShiftTracker } from './calibration-shift.ts';
export {
  type CascadeCalibration,
  type CascadeMeasurement,
  type CascadeSample,
  calibrateCascade,
  cascadeId,
  confidenceOf,
  isConfident,
  type MeasuredShare,
  MIN_CALIBRATION_SAMPLES,
  measureCascade,
  splitHalves,
} from './cascade.ts';
export {
  type CascadeDemands,
  type CascadeFacts,
  type CascadeRequest,
  cascadeMeanMs,
  cascadeOption,
  cascadeOptions,
  cascadeProbability,
  cascadeQuantileMs,
} from './cascade-option.ts';
export { type CascadeStages, cascadeFacts, cascadeStages, stageForms } from './cascade-stages.ts';
export { ClassUses, type ObservedWorker, type Used } from './class-uses.ts';
export { activatedScores, classify } from './classify.ts';
export {
  type BatchPart,
  batchSharePicoUsd,
  browserCostPicoUsd,
  fromUsd,
  PICO_USD_PER_USD,
  pagePrices,
  picoUsdPerMs,
  remoteCostPicoUsd,
  toUsd,
  workerUsdPerHour,
} from './cost.ts';
export {
  type Choice,
  type Decision,
  decide,
  type JudgedOption,
  judgeOption,
  type NearestFeasible,
  type PlacedVariant,
  passedOver,
  type Reason,
} from './decide.ts';
export { detect, MAX_DETECTIONS } from './detect.ts';
export {
  certain,
  normalCdf,
  normalQuantile,
  onTimeProbability,
  quantileMs,
  sumMoments,
  ZERO,
} from './distribution.ts';
export { DRIFT_FACTOR, DRIFT_WINDOW, isDrift, LiveSketch } from './drift.ts';
export {
  EscalationBook,
  type EscalationKey,
  type EscalationPrior,
  EscalationRate,
} from './escalation.ts';
export {
  type Blocker,
  browserOption,
  type LatencyParts,
  type NetworkPath,
  networkTime,
  type Option,
  optionsUnderLease,
  PAGE_WORKER,
  type PageRequest,
  type PageView,
  totalLatency,
} from './estimate.ts';
export { explainCandidates } from './explain.ts';
export { type Forecast, Forecaster, type ForecastRule } from './forecast.ts';
export {
  checkGolden,
  type GoldenCase,
  goldenTensor,
  goldenTensorOnGrid,
  outputDifference,
  parseGolden,
} from './golden.ts';
export {
  HEDGE_QUANTILE,
  HedgeBudget,
  hedgeChoice,
  hedgeDelayMs,
} from './hedge.ts';
export {
  imageToTensor,
  type Pixels,
} from './image.ts';
export {
  type LeaseCounts,
  type LeasedPlace,
  type LeaseGrant,
  LeaseLedger,
  type ReportedLease,
  wantedRequests,
} from './lease.ts';
export {
  FRESH_FOR_MS,
  LoadView,
  MOST_STALENESS,
  staleness,
  WAIT_DEVIATION,
  waitMoments,
} from './load-view.ts';
export { applyOrientation, type Orientation, readOrientation } from './orientation.ts';
export {
  type ComparedProfile,
  type ComparedVariant,
  type Dominated,
  dominance,
  MIN_COMPARED_SAMPLES,
  type ParetoCell,
  type ParetoLine,
  type Place,
  paretoLines,
  SPEED_MARGIN,
  type TierCost,
  variantBytes,
} from './pareto.ts';
export {
  canReplace,
  type DescribeOffer,
  type Dominator,
  type LiveCurve,
  type Offer,
  type OfferFacts,
  OfferList,
  type ReplicaName,
} from './placement/offer-list.ts';
export {
  chosenOption,
  type IndexChoice,
  type IndexedWorker,
  type IndexRequest,
  type PassedOver,
  PlacementIndex,
} from './placement/placement-index.ts';
export type { Place as WorkerPlace } from './placement/worker-group.ts';
export { checkLinearProgram, LinearProgramBuilder } from './plan/linear-program.ts';
export {
  type ClassPlan,
  type Demand,
  type Flow,
  type PageGroup,
  type PageOption,
  type Placeable,
  type Plan,
  type PlanInput,
  type PlanPrice,
  type PlanRule,
  type PlanVariant,
  planGap,
  type WorkerClass,
} from './plan/plan.ts';
export { Settler } from './plan/settle.ts';
export { greedyPlan, type PlanLimits, type PlanTurn, solvePlan } from './plan/solve-plan.ts';
export type { Clock } from './ports/clock.ts';
export type {
  CoordinatorSideLink,
  Link,
  LinkEnd,
  WorkerSideLink,
} from './ports/link.ts';
export type {
  LinearProgram,
  LinearProgramColumns,
  LinearProgramRows,
  Solution,
  SolveOptions,
  Solver,
} from './ports/solver.ts';
export type {
  AccountLog,
  AccountRecord,
  ArtifactStore,
  ContentEncoding,
  PackedArtifact,
  ProfileStore,
  RegisteredTask,
  RegistryStore,
  TaskRecord,
} from './ports/stores.ts';
export { predict } from './predict.ts';
export {
  type ClassUse,
  missesPerBusyMs,
  NO_PRICES,
  type PricedClass,
  type PriceRule,
  PriceTracker,
  priceOf,
} from './prices.ts';
export {
  blend,
  type Footprint,
  MAX_PROFILES,
  MAX_REPORTERS,
  MIN_SAMPLES,
  ProfileBook,
  type ProfileKey,
  type ProfileView,
  type ServiceTime,
  STALE_AFTER_MS,
  type StoredReport,
  widen,
} from './profile.ts';
export {
  type RequestSpec,
  resolveSpec,
} from './request-spec.ts';
export {
  RELATIVE_ACCURACY,
  Sketch,
} from './sketch.ts';
export {
  type PairedCounts,
  type PairedDifference,
  pairedDifference,
  wilsonInterval,
} from './statistics.ts';
export { isFloat, type TensorValues, tensorValues } from './tensor-values.ts';
export { type BucketRule, TokenBuckets } from './token-bucket.ts';
