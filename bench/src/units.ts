/** Prices of time are for an hour. */
export const MS_PER_HOUR = 3_600_000;

/** Prices of egress are for a gigabyte, of a thousand million bytes. */
export const BYTES_PER_GB = 1_000_000_000;
