import * as v from 'valibot';

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(256));
const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const amount = v.pipe(v.number(), v.finite(), v.minValue(0));
const aboveZero = v.pipe(v.number(), v.finite(), v.gtValue(0));
const factor = v.pipe(v.number(), v.finite(), v.minValue(1));
const sloMs = v.pipe(aboveZero, v.maxValue(86_400_000));
const count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1_000_000));

const traceSchema = v.variant('format', [
  v.strictObject({
    format: v.picklist(['arrivals-ms', 'counts-per-second', 'timestamps']),
    file: name,
    /** Multiplies the rate. */
    scale: v.optional(v.pipe(aboveZero, v.maxValue(10_000)), 1),
    /** Which part of the trace is replayed, in seconds from its beginning; it is moved to the start of the run. */
    fromSeconds: v.optional(amount, 0),
    toSeconds: v.optional(aboveZero),
  }),
  v.strictObject({
    format: v.literal('gamma'),
    perSecond: aboveZero,
    seconds: v.pipe(aboveZero, v.maxValue(7 * 86_400)),
    /** Squared coefficient of variation of the time between arrivals; 1 is a Poisson process. */
    squaredVariation: v.optional(v.pipe(aboveZero, v.maxValue(1_000)), 1),
  }),
]);

/** A trace as the scenario file names it. */
export type TraceSource = v.InferOutput<typeof traceSchema>;

const cascadeSchema = v.strictObject({
  variant: name,
  /** Variants of the task. */
  small: name,
  large: name,
  accuracy: share,
  escalationRate: share,
});

/** A scenario file. Unknown fields are refused, so that a misspelt one is not passed over. */
export const scenarioSchema = v.strictObject({
  $schema: v.optional(v.string()),
  name: v.optional(name),
  description: v.optional(v.string()),
  seed: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  tasks: v.pipe(
    v.array(
      v.strictObject({
        task: name,
        sloMs,
        sloTarget: v.exactOptional(v.pipe(v.number(), v.gtValue(0), v.ltValue(1))),
        slos: v.exactOptional(
          v.pipe(v.array(v.strictObject({ sloMs, share })), v.minLength(1), v.maxLength(100)),
        ),
        minAccuracy: v.optional(share, 0),
        prefer: v.optional(v.picklist(['cost', 'accuracy']), 'cost'),
        payloadBytes: v.optional(amount, 0),
        answerBytes: v.optional(amount, 0),
        cascades: v.exactOptional(v.pipe(v.array(cascadeSchema), v.maxLength(100))),
        trace: traceSchema,
      }),
    ),
    v.minLength(1),
    v.maxLength(1_000),
  ),
  profiles: name,
  fleet: v.pipe(
    v.array(
      v.strictObject({
        deviceClass: name,
        tier: v.picklist(['edge', 'pool']),
        count,
        usdPerHour: amount,
        min: v.optional(count),
        max: v.optional(count),
        startupMs: v.optional(amount, 0),
        memoryBytes: v.optional(aboveZero),
        machine: v.exactOptional(name),
      }),
    ),
    v.minLength(1),
    v.maxLength(1_000),
  ),
  machines: v.exactOptional(
    v.array(v.strictObject({ name, slowdown: v.pipe(v.array(factor), v.minLength(1), v.maxLength(256)) })),
  ),
  browsers: v.optional(
    v.strictObject({
      deviceClasses: v.optional(
        v.array(v.strictObject({ deviceClass: name, share, machine: v.exactOptional(name) })),
        [],
      ),
      requestsPerCaller: v.optional(v.pipe(v.number(), v.finite(), v.minValue(1)), 20),
      energyUsdPerHour: v.optional(amount, 0),
      cachedShare: v.optional(share, 0),
      callersAtOnce: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10_000_000))),
    }),
    {},
  ),
  network: v.optional(
    v.strictObject({
      rtts: v.optional(
        v.pipe(v.array(v.strictObject({ rttMs: amount, share })), v.minLength(1), v.maxLength(1_000)),
        [{ rttMs: 0, share: 1 }],
      ),
      bytesPerMs: v.optional(aboveZero),
    }),
    {},
  ),
  /** Part of the form, without effect: each policy plans as often as what it stands for. */
  planEverySeconds: v.optional(v.pipe(aboveZero, v.minValue(0.1))),
  egressUsdPerGb: v.optional(amount, 0),
  requestUsdPerMillion: v.optional(amount, 0),
  windowSeconds: v.optional(aboveZero),
});

export type ScenarioFile = v.InferOutput<typeof scenarioSchema>;
