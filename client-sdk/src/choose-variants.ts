import { stageForms } from '@nearfar/core';
import type { VariantSpec } from '@nearfar/protocol';
import { type Capability, isOnWebGpu } from './capability.ts';
import type { EngineName } from './types.ts';

/** What the choice rests on. */
export interface ChoiceFacts {
  readonly engine: EngineName;
  readonly capability: Capability | undefined;
  /** Larger variants stay on the mesh. */
  readonly maxVariantBytes: number;
  /** Accuracy that the page's requests demand, 0 to 1. */
  readonly minAccuracy: number;
  /** Mean milliseconds that devices of this class measured; undefined = nobody has. */
  readonly knownMs: (spec: VariantSpec) => number | undefined;
  /** Whether the variant is ready here already. */
  readonly isReady: (spec: VariantSpec) => boolean;
}

/** Variants of a task for one engine. */
export interface VariantChoice {
  /** One list a model, in the order in which models are prepared; the first of each that passes is the model's. */
  readonly models: readonly (readonly VariantSpec[])[];
  /** Small enough variants of the engine's format that this device cannot run, and why. */
  readonly obstacles: readonly { readonly spec: VariantSpec; readonly reason: string }[];
}

/**
 * Chooses what a page prepares. Registration makes up to a dozen variants of a task; a page takes at most one of each
 * model: the one with the fewest bytes that is accurate enough by itself, and of equally large ones the more accurate; else
 * a form of it that is the small stage of a cascade which is. One that is ready here already goes before those that are no
 * better for that. The others of the model stand in only when it fails. Models go by their bytes too, so that the first is
 * ready soon; those that another one dominates, which no request would be sent to, go last.
 */
export function chooseVariants(variants: readonly VariantSpec[], facts: ChoiceFacts): VariantChoice {
  const models = new Map<string, VariantSpec[]>();
  const obstacles: { spec: VariantSpec; reason: string }[] = [];
  for (const spec of variants) {
    if (!isCandidate(spec, facts)) continue;
    const reason = obstacleTo(spec, facts);
    if (reason !== undefined) obstacles.push({ spec, reason });
    else models.set(spec.model, [...(models.get(spec.model) ?? []), spec]);
  }
  const stages = smallStages(variants, facts);
  // Half a step: what is ready here is taken unless another one serves requests that it does not.
  const rankOf = (spec: VariantSpec) => {
    const use = spec.accuracy.value >= facts.minAccuracy ? 0 : stages.has(spec) ? 1 : 2;
    return use - (facts.isReady(spec) ? 0.5 : 0);
  };
  const ordered = [...models.values()].map((own) =>
    own.toSorted((a, b) => rankOf(a) - rankOf(b) || bySize(a, b)),
  );
  const firsts = ordered.flatMap(([first]) => (first === undefined ? [] : [first]));
  const isDominated = ([spec]: readonly VariantSpec[]) =>
    Number(spec !== undefined && firsts.some((other) => dominates(other, spec, facts)));
  return {
    models: ordered.toSorted(
      (a, b) => isDominated(a) - isDominated(b) || (a[0] && b[0] ? bySize(a[0], b[0]) : 0),
    ),
    obstacles,
  };
}

/** What can run the small stage of a cascade that is accurate enough. */
function smallStages(variants: readonly VariantSpec[], { minAccuracy }: ChoiceFacts): Set<VariantSpec> {
  const enough = variants.flatMap(({ cascade, accuracy }) =>
    cascade !== undefined && accuracy.value >= minAccuracy ? [cascade.small] : [],
  );
  return new Set(enough.flatMap((small) => stageForms(variants, small)));
}

/** Bytes of the variant's own files. */
export function modelBytes({ artifacts }: Pick<VariantSpec, 'artifacts'>): number {
  return artifacts.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
}

function isCandidate(spec: VariantSpec, { engine, maxVariantBytes }: ChoiceFacts): boolean {
  const format = engine === 'tfjs-webgpu' ? 'tfjs' : 'onnx';
  return spec.format === format && spec.artifacts.length > 0 && modelBytes(spec) <= maxVariantBytes;
}

/**
 * Seen with onnxruntime-web 1.30 on the sample models. On WebGPU without `shader-f16` a session of fp16 weights is not even
 * created; int8 weights run on the GPU as a whole; of an int8-dynamic model nodes are left to the CPU. On wasm all run:
 * int8 weights as fast as fp32 (they are widened once, when the session is created), int8-dynamic in 0.5 to 0.9 of its
 * time, fp16 in 1.0 to 1.3 of it (by casts).
 */
function obstacleTo({ precision }: VariantSpec, { engine, capability }: ChoiceFacts): string | undefined {
  // tfjs widens stored halves and bytes to fp32 when it loads them, so it runs every precision.
  if (!isOnWebGpu(engine) || engine === 'tfjs-webgpu') return undefined;
  if (precision === 'fp16' && capability?.webgpu?.hasF16 !== true) {
    return 'its fp16 needs "shader-f16", which this WebGPU adapter lacks';
  }
  if (precision === 'int8-dynamic') {
    return 'its integer operators are not on WebGPU: they would run on the CPU, with a copy before and after each';
  }
  return undefined;
}

/** Whether `one` is no worse than `other` in bytes, accuracy and, where both are known, time, and better in one of them. */
function dominates(one: VariantSpec, other: VariantSpec, { knownMs }: ChoiceFacts): boolean {
  const saved = modelBytes(other) - modelBytes(one);
  const gained = one.accuracy.value - other.accuracy.value;
  const [oneMs, otherMs] = [knownMs(one), knownMs(other)];
  const faster = oneMs === undefined || otherMs === undefined ? 0 : otherMs - oneMs;
  const differences = [saved, gained, faster];
  return differences.every((value) => value >= 0) && differences.some((value) => value > 0);
}

function bySize(a: VariantSpec, b: VariantSpec): number {
  return (
    modelBytes(a) - modelBytes(b) ||
    b.accuracy.value - a.accuracy.value ||
    (a.variant < b.variant ? -1 : Number(a.variant > b.variant))
  );
}
