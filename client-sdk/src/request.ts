import { type RequestSpec, resolveSpec } from '@nearfar/core';
import {
  checkSignature,
  MeshError,
  type Parameters,
  parametersSchema,
  parseOrThrow,
  type TaskInfo,
  type Tensor,
} from '@nearfar/protocol';
import type { InferOptions } from './types.ts';

/** A request whose task, demands and inputs hold. */
export interface PageRequest {
  readonly task: TaskInfo;
  readonly inputs: readonly Tensor[];
  /** Inputs along the batch axis. */
  readonly rows: number;
  readonly parameters: Parameters;
  readonly spec: RequestSpec;
  readonly startedAt: number;
  readonly signal: AbortSignal;
}

/** The flat parameters of the protocol. @throws MeshError `MESH_BAD_PARAMETER`. */
export function parametersOf(options: InferOptions): Parameters {
  const {
    sloMs,
    sloTarget,
    minAccuracy,
    degradeTo,
    maxCostUsd,
    prefer,
    privacy,
    model,
    priority,
    timeoutMs,
  } = options;
  const named = {
    slo_ms: sloMs,
    slo_target: sloTarget,
    min_accuracy: minAccuracy,
    degrade_to: degradeTo,
    max_cost_usd: maxCostUsd,
    prefer,
    privacy,
    model,
    priority,
    timeout: timeoutMs === undefined ? undefined : Math.round(timeoutMs * 1_000),
    on_infeasible: options.onInfeasible,
    explain: options.explain,
  };
  const given = Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined));
  return parseOrThrow(parametersSchema, given, 'MESH_BAD_PARAMETER', 'options');
}

/** The demands with every default filled in. */
export function specOf(task: TaskInfo, parameters: Parameters): RequestSpec {
  return resolveSpec(parameters, task.defaults);
}

/** Checks the inputs; gives how many there are along the batch axis. @throws MeshError `MESH_BAD_TENSOR`. */
export function countRows(task: TaskInfo, inputs: readonly Tensor[]): number {
  const [variant] = task.variants;
  if (variant === undefined) throw new MeshError('MESH_NO_CAPACITY', `Task "${task.task}" has no variants`);
  checkSignature(inputs, variant.inputs);
  return variant.isBatchable ? (inputs[0]?.shape[0] ?? 1) : 1;
}
