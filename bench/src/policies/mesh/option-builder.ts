import {
  browserCostPicoUsd,
  type CalibrationCurve,
  certain,
  NO_PRICES,
  networkTime,
  type Option,
  PAGE_WORKER,
  PICO_USD_PER_USD,
  picoUsdPerMs,
  priceOf,
  ZERO,
} from '@nearfar/core';
import type { Moments, PriceTable } from '@nearfar/protocol';
import type { Profile } from '../../profile-table.ts';
import type { Scenario, ScenarioTask } from '../../scenario/scenario.ts';
import type { SimulatedCaller, SimulatedRequest } from '../../simulator/policy.ts';
import { BYTES_PER_GB } from '../../units.ts';
import type { WorkerBelief } from './belief.ts';
import type { BelievedRequest, UnderWay } from './believed-queue.ts';

/** Variants are registered once in a simulation. */
export const REVISION = 1;

/** Which way of a request is still ahead: to a worker and back, or, once it is in the mesh, only back. */
export type Way = 'there-and-back' | 'back';

/** A variant on a worker, for a request. */
export interface RemoteFacts {
  readonly task: ScenarioTask;
  readonly way: Way;
  readonly belief: WorkerBelief;
  readonly profile: Profile;
  /** Corrects the predicted latency; undefined = it stays as it is. */
  readonly calibration: CalibrationCurve | undefined;
}

/** Makes the options that `decide` weighs out of what the mesh believes. */
export class OptionBuilder {
  /** Prices of scarce capacity, by which every option is weighed from now on. */
  prices: PriceTable = NO_PRICES;
  readonly #scenario: Scenario;
  readonly #seesNetwork: boolean;

  constructor(scenario: Scenario, seesNetwork: boolean) {
    this.#scenario = scenario;
    this.#seesNetwork = seesNetwork;
  }

  /** A worker's, as a request that is decided now would find it. */
  remote(
    request: SimulatedRequest,
    { task, way, belief, profile, calibration }: RemoteFacts,
    nowMs: number,
  ): Option {
    const { worker } = belief;
    const { wait, batch } = belief.expected(this.underWay(request, task, profile, nowMs, way), nowMs);
    const { meanMs } = profile.service(batch);
    // A batch is decided by what one more input adds to it.
    const addedMs = batch === 1 ? meanMs : Math.max(0, meanMs - profile.service(batch - 1).meanMs);
    const { egressUsdPerGb, requestUsdPerMillion } = this.#scenario;
    const requestUsd = way === 'back' ? 0 : requestUsdPerMillion / 1e6;
    const fixedUsd = (task.answerBytes * egressUsdPerGb) / BYTES_PER_GB + requestUsd;
    const costPicoUsd = Math.round(picoUsdPerMs(worker.usdPerHour) * addedMs + fixedUsd * PICO_USD_PER_USD);
    return {
      variant: profile.variant,
      revision: REVISION,
      model: profile.variant,
      tier: worker.tier,
      worker: worker.id,
      deviceClass: worker.deviceClass,
      accuracy: profile.accuracy,
      parts: {
        network: this.network(request.caller, task, way),
        queue: wait,
        compute: profile.moments(batch),
        load: ZERO,
      },
      costPicoUsd,
      worstCostPicoUsd: costPicoUsd,
      pricePicoUsd: Math.round(priceOf(this.prices, worker.tier, worker.deviceClass) * addedMs),
      blockers: [],
      ...(calibration !== undefined && { calibration }),
    };
  }

  /** The caller's own device, for a variant that it has. */
  browser(
    caller: SimulatedCaller,
    profile: Profile,
    nowMs: number,
    calibration: CalibrationCurve | undefined,
  ): Option {
    const compute = profile.moments(1);
    const waitMs = Math.max(0, caller.predictedFreeMs - nowMs);
    const costPicoUsd = this.browserCostPicoUsd(profile);
    return {
      variant: profile.variant,
      revision: REVISION,
      model: profile.variant,
      tier: 'browser',
      worker: PAGE_WORKER,
      deviceClass: profile.deviceClass,
      accuracy: profile.accuracy,
      parts: {
        network: ZERO,
        queue: { meanMs: waitMs, varianceMs2: (waitMs / 2) ** 2 },
        compute,
        load: ZERO,
      },
      costPicoUsd,
      worstCostPicoUsd: costPicoUsd,
      blockers: [],
      ...(calibration !== undefined && { calibration }),
    };
  }

  /** Energy, and the weights' way to the page spread over the requests of a caller, few of whom have them from before. */
  browserCostPicoUsd(profile: Profile): number {
    const { browsers, egressUsdPerGb } = this.#scenario;
    return browserCostPicoUsd(
      {
        energyPicoUsdPerMs: picoUsdPerMs(browsers.energyUsdPerHour),
        artifactPicoUsdPerByte: (egressUsdPerGb * PICO_USD_PER_USD) / BYTES_PER_GB,
        expectedReuse: browsers.requestsPerCaller / Math.max(1e-6, 1 - browsers.cachedShare),
      },
      profile.moments(1).meanMs,
      profile.weightBytes,
    );
  }

  /** A request for a variant as a worker's queue will hold it. */
  queued(
    { caller, deadlineMs }: SimulatedRequest,
    { answerBytes }: ScenarioTask,
    profile: Profile,
  ): BelievedRequest {
    const backMs = this.#seesNetwork ? caller.rttMs / 2 + answerBytes / this.#scenario.network.bytesPerMs : 0;
    return { profile, deadlineAt: deadlineMs - backMs };
  }

  /** The same, with when it would be there if it were sent now. */
  underWay(
    request: SimulatedRequest,
    task: ScenarioTask,
    profile: Profile,
    nowMs: number,
    way: Way = 'there-and-back',
  ): UnderWay {
    const { deadlineAt } = this.queued(request, task, profile);
    const isThere = way === 'back' || !this.#seesNetwork;
    const thereMs = request.caller.rttMs / 2 + task.payloadBytes / this.#scenario.network.bytesPerMs;
    return { profile, deadlineAt, reachesMs: nowMs + (isThere ? 0 : thereMs) };
  }

  /** What is predicted of a caller's way; nothing where the mesh does not look. */
  network(
    { rttMs }: SimulatedCaller,
    { payloadBytes, answerBytes }: ScenarioTask,
    way: Way = 'there-and-back',
  ): Moments {
    if (!this.#seesNetwork) return ZERO;
    const bytesPerMs = Number.isFinite(this.#scenario.network.bytesPerMs)
      ? this.#scenario.network.bytesPerMs
      : undefined;
    return way === 'back'
      ? networkTime({ rtt: certain(rttMs / 2), bytesPerMs }, answerBytes)
      : networkTime({ rtt: certain(rttMs), bytesPerMs }, payloadBytes + answerBytes);
  }
}
