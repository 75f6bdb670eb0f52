/** Parts of the mesh that can be left out, to show what each is worth. By default it has all of them. */
export interface MeshOptions {
  /** Prices of scarce capacity (default true); without, only cost decides among places that are on time. */
  readonly hasPrices?: boolean;
  /** Whether predictions are corrected by what came of the ones before (default true). */
  readonly isCalibrated?: boolean;
  /** Whether the caller's round trip is part of a prediction (default true). */
  readonly seesNetwork?: boolean;
  /** Whether the scenario's cascades are candidates (default true). */
  readonly hasCascades?: boolean;
  /**
   * Whether pages decide by themselves (default true). Without leases, a page that could answer asks the mesh first, and
   * nothing runs before that round trip is over; one that cannot sends its request in any case.
   */
  readonly hasLeases?: boolean;
  /** Milliseconds between the load reports of a worker; 0, the default, = with every answer and at least each second. */
  readonly reportEveryMs?: number;
  /**
   * By device class, what the mesh takes for its times, as a multiple of the true ones: 0.5 = it believes the class to be
   * twice as fast as it is. Absent = 1, of every class.
   */
  readonly believedTimes?: Readonly<Record<string, number>>;
}
