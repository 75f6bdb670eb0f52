import { certain, normalQuantile, sumMoments } from '@nearfar/core';
import type { Moments } from '@nearfar/protocol';

/** A variant on a device class: what its profile says of it, and what share of the requests goes there. */
export interface Place {
  readonly variant: string;
  readonly deviceClass: string;
  readonly meanMs: number;
  /** Standard deviation as a share of the mean. */
  readonly variation: number;
  /** Which distribution the times are really drawn from. */
  readonly family: 'log-normal' | 'gamma';
  readonly shareOfTraffic: number;
  readonly workers: number;
}

export const PLACES: readonly Place[] = [
  {
    variant: 'small',
    deviceClass: 'cpu:fast',
    meanMs: 10,
    variation: 0.25,
    family: 'log-normal',
    shareOfTraffic: 0.55,
    workers: 8,
  },
  {
    variant: 'large',
    deviceClass: 'cpu:fast',
    meanMs: 40,
    variation: 0.2,
    family: 'log-normal',
    shareOfTraffic: 0.25,
    workers: 8,
  },
  {
    variant: 'small',
    deviceClass: 'cpu:slow',
    meanMs: 25,
    variation: 0.35,
    family: 'gamma',
    shareOfTraffic: 0.2,
    workers: 4,
  },
];

/** What the world is like for a while. */
export interface Stage {
  readonly name: string;
  readonly requests: number;
  /** Of every worker against its profile: 0.5 takes twice as long. */
  readonly speed: number;
  /** By what the profile's times are multiplied before they are believed. */
  readonly profileFactor: number;
  /** Speed of worker 0 of each class against the others. */
  readonly speedOfFirst: number;
  /** Share of requests that others disturb, each by a factor from 1.5 to 3 on its time in the worker. */
  readonly disturbedShare: number;
}

const AS_PREDICTED: Omit<Stage, 'name' | 'requests'> = {
  speed: 1,
  profileFactor: 1,
  speedOfFirst: 1,
  disturbedShare: 0,
};

/** The drift schedule: each change is sudden and lasts long enough for windows of 2,000 requests after it. */
export function driftSchedule(requests = 5_000): readonly Stage[] {
  const stage = (name: string, over: Partial<Stage> = {}): Stage => ({
    name,
    requests,
    ...AS_PREDICTED,
    ...over,
  });
  return [
    stage('as predicted'),
    stage('speed × 0.5', { speed: 0.5 }),
    stage('speed × 3', { speed: 3 }),
    stage('speed × 1'),
    stage('profile twice too fast', { profileFactor: 0.5 }),
    stage('profile twice too slow', { profileFactor: 2 }),
    stage('profile right'),
    stage('one worker at a third', { speedOfFirst: 1 / 3 }),
    stage('interference', { disturbedShare: 0.3 }),
    stage('no interference'),
  ];
}

/** What is known of a request when it is placed. */
export interface Draw {
  readonly place: Place;
  readonly worker: string;
  readonly isFirst: boolean;
  /** Predicted wait, in milliseconds. */
  readonly backlogMs: number;
}

const BACKLOGS_MS = [0, 8, 24, 60] as const;
const BACKLOG_SHARES = [0.4, 0.7, 0.9, 1] as const;

const NETWORK: Moments = { meanMs: 6, varianceMs2: 9 };

/** A request as it comes: where it goes and how long the queue there is said to be. */
export function drawRequest(random: () => number): Draw {
  const place = choosePlace(random());
  const number = Math.floor(random() * place.workers);
  const level = random();
  const backlogMs = BACKLOGS_MS[BACKLOG_SHARES.findIndex((share) => level < share)] ?? 0;
  return { place, worker: `${place.deviceClass}-${number}`, isFirst: number === 0, backlogMs };
}

function choosePlace(roll: number): Place {
  let left = roll;
  for (const place of PLACES) {
    if (left < place.shareOfTraffic) return place;
    left -= place.shareOfTraffic;
  }
  throw new RangeError('Expected the shares of traffic to add up to 1');
}

/** What is predicted of it. */
export function predict({ place, backlogMs }: Draw, { profileFactor }: Stage): Moments {
  const meanMs = place.meanMs * profileFactor;
  const compute = { meanMs, varianceMs2: (meanMs * place.variation) ** 2 };
  const wait = backlogMs === 0 ? certain(0) : { meanMs: backlogMs, varianceMs2: (backlogMs / 2) ** 2 };
  return sumMoments([NETWORK, wait, compute]);
}

/** What it really takes. The tail of the wait is longer than predicted: that of two exponential phases. */
export function drawLatency({ place, isFirst, backlogMs }: Draw, stage: Stage, random: () => number): number {
  const network = logNormalDraw(6, 0.5, random);
  const wait = backlogMs === 0 ? 0 : gammaDraw(backlogMs, Math.SQRT1_2, random);
  const draw = place.family === 'gamma' ? gammaDraw : logNormalDraw;
  const compute = draw(place.meanMs, place.variation, random);
  const speed = stage.speed * (isFirst ? stage.speedOfFirst : 1);
  const disturbance = random() < stage.disturbedShare ? 1.5 + 1.5 * random() : 1;
  return network + ((wait + compute) * disturbance) / speed;
}

function logNormalDraw(meanMs: number, variation: number, random: () => number): number {
  const logVariance = Math.log1p(variation * variation);
  return meanMs * Math.exp(Math.sqrt(logVariance) * normalDraw(random) - logVariance / 2);
}

/** Marsaglia and Tsang 2000, "A simple method for generating gamma variables"; for shapes from 1. */
function gammaDraw(meanMs: number, variation: number, random: () => number): number {
  const shape = 1 / (variation * variation);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = normalDraw(random);
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(Math.max(random(), 1e-300)) < (x * x) / 2 + d - d * v + d * Math.log(v)) {
      return (d * v * meanMs) / shape;
    }
  }
}

function normalDraw(random: () => number): number {
  return normalQuantile(Math.min(1 - 1e-12, Math.max(1e-12, random())));
}
