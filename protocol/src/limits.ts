/**
 * Every bound of the wire, named once. Sizes are bytes, times are milliseconds.
 * A coordinator may be configured lower, never higher than what a peer can be assumed to accept.
 */
export const LIMITS = {
  /** Largest HTTP body of an inference request. A larger one is refused before it is read. */
  maxBodyBytes: 32 * 1024 * 1024,
  /**
   * Largest JSON body of an inference request. JSON is read on the server's own thread, so a large one would hold up
   * everybody; tensors beyond it go by the binary extension, which is not read at all.
   */
  maxInferJsonBytes: 4 * 1024 * 1024,
  /** A body that has not arrived after this many milliseconds is given up. */
  bodyWithinMs: 30_000,
  /** Largest JSON body of any other request. */
  maxJsonBytes: 1024 * 1024,
  /** Largest frame on the link: the largest body plus room for its header. */
  maxFrameBytes: 33 * 1024 * 1024,
  /** Largest JSON header inside a frame or a binary inference body. */
  maxHeaderBytes: 1024 * 1024,
  /** Largest artifact file that a worker or a page downloads. */
  maxArtifactBytes: 1024 * 1024 * 1024,
  /** Largest picture after decoding, in pixels (width × height). */
  maxImagePixels: 24_000_000,
  /** Most inputs along the batch axis of one request. */
  maxRows: 256,
  /** Most tensors in one request or answer. */
  maxTensors: 64,
  /** Most dimensions of one tensor. */
  maxRank: 16,
  /** Largest `slo_ms` that a caller may name. */
  maxSloMs: 600_000,
  /** Deadline of a request that names none and whose task has no default. */
  defaultSloMs: 1_000,
  /** Share of requests that must be on time when the caller names no `slo_target`. */
  defaultSloTarget: 0.99,
  /** Most items in one outcomes report. */
  maxOutcomes: 256,
  /** Most candidates that a page may list with one outcome. */
  maxCandidates: 128,
  /** Longest time for which a page may decide by itself. */
  maxLeaseTtlMs: 30_000,
  /** Most requests that a page may send to the mesh under one lease. */
  maxLeaseRequests: 1_000,
  /** Most places that a page may say it passed over under one lease. */
  maxPassedOver: 32,
  /** Most leases that a page may report on at once. */
  maxLeaseReports: 64,
  /** Most tiers and device classes that have a price. */
  maxLeasedPrices: 1_024,
  /** Most models of one task: each is made into several variants, and each two into a cascade. */
  maxModels: 32,
  /** Most requests that wait in one worker. */
  maxWorkerQueue: 512,
} as const;
