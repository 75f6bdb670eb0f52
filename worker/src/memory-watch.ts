/** Memory of this process in bytes: what it holds now, and the most that it ever held. */
export interface MemoryReading {
  readonly residentBytes: number;
  readonly largestResidentBytes: number;
}

/**
 * Growth of this process's resident memory since the watch was made; readings are taken when `sample` is called.
 *
 * These are hints, not an account: resident memory belongs to the whole process, so whatever else it does meanwhile is in
 * them, memory that an earlier variant left free is not, and the allocator gives memory back late. On a quiet worker that
 * loads one variant at a time they were within some megabytes of each other from run to run. The peak is exact when the
 * process grew beyond the most that it had ever held, which the system records at every moment; otherwise it is the
 * largest of the samples.
 */
export class MemoryWatch {
  readonly #read: () => MemoryReading;
  readonly #start: MemoryReading;
  #newestBytes: number;
  #largestSampleBytes: number;

  constructor(read: () => MemoryReading = readMemory) {
    this.#read = read;
    this.#start = read();
    this.#newestBytes = this.#start.residentBytes;
    this.#largestSampleBytes = this.#start.residentBytes;
  }

  sample(): void {
    this.#newestBytes = this.#read().residentBytes;
    this.#largestSampleBytes = Math.max(this.#largestSampleBytes, this.#newestBytes);
  }

  /** Growth up to the newest sample, in bytes, from 0. */
  get heldBytes(): number {
    return Math.max(0, this.#newestBytes - this.#start.residentBytes);
  }

  /** Largest growth so far, in bytes, from 0. */
  get peakBytes(): number {
    const { largestResidentBytes } = this.#read();
    const isRecord = largestResidentBytes > this.#start.largestResidentBytes;
    const largestBytes = isRecord ? largestResidentBytes : this.#largestSampleBytes;
    return Math.max(0, largestBytes - this.#start.residentBytes);
  }
}

function readMemory(): MemoryReading {
  // `maxRSS` is in kilobytes on every system.
  return {
    residentBytes: process.memoryUsage.rss(),
    largestResidentBytes: process.resourceUsage().maxRSS * 1_024,
  };
}
