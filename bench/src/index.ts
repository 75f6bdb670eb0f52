export { type Bench, type BenchOptions, type BenchResult, describeMachine } from './bench.ts';
export { BENCHES } from './benches/index.ts';
