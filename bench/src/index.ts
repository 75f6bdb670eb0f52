export {
  type Bench,
  type BenchOptions,
  type BenchResult,
  describeMachine,
  type MeshPrograms,
} from './bench.ts';
export { BENCHES } from './benches/index.ts';
export { POLICIES } from './policies/index.ts';
export { addOptimum } from './report/add-optimum.ts';
export { renderReport } from './report/render-report.ts';
export { type ReadScenarioOptions, readScenario } from './scenario/read-scenario.ts';
export type { Scenario } from './scenario/scenario.ts';
export type { Policy, PolicyFactory } from './simulator/policy.ts';
export type { SimulationResult } from './simulator/result.ts';
export { type SimulateOptions, simulate } from './simulator/simulate.ts';
