// A no-break space keeps a figure and its unit on one line.

/** Milliseconds for people: three significant digits, no false precision. */
export function formatMs(ms: number): string {
  if (ms >= 60_000) return `${trim(ms / 60_000)}\u00a0min`;
  if (ms >= 10_000) return `${trim(ms / 1000)}\u00a0s`;
  return `${trim(ms)}\u00a0ms`;
}

/** US dollars in a unit in which the figure can be read: microdollars below a tenth of a cent. */
export function formatCost(usd: number): string {
  const micro = usd * 1e6;
  if (micro === 0) return '0\u00a0µ$';
  if (micro < 0.0001) return '<\u00a00.0001\u00a0µ$';
  if (micro < 1000) return `${trim(micro)}\u00a0µ$`;
  return `${trim(usd)}\u00a0$`;
}

/** Bytes in binary units. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes}\u00a0B`;
  if (bytes < 1024 * 1024) return `${trim(bytes / 1024)}\u00a0KiB`;
  return `${trim(bytes / 1024 / 1024)}\u00a0MiB`;
}

/** A share from 0 to 1 as a percentage, in which 99.99 % never becomes 100 %. */
export function formatShare(share: number, digits = 1): string {
  const percent = share * 100;
  const rounded = Number(percent.toFixed(digits));
  if (rounded === 100 && percent < 100) return `>\u00a0${(100 - 10 ** -digits).toFixed(digits)}\u00a0%`;
  if (rounded === 0 && percent > 0) return `<\u00a0${(10 ** -digits).toFixed(digits)}\u00a0%`;
  return `${rounded}\u00a0%`;
}

/** Day of a time in ISO 8601, as the visitor writes it. */
export function formatDate(at: string): string {
  return new Date(at).toLocaleDateString(undefined, { day: 'numeric', month: 'short', year: 'numeric' });
}

/** How long ago something was, coarse, so that it changes seldom. */
export function formatAge(ageMs: number): string {
  const minutes = Math.floor(ageMs / 60_000);
  if (minutes < 1) return 'under a minute';
  if (minutes < 60) return `${minutes}\u00a0min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}\u00a0h` : `${Math.floor(hours / 24)}\u00a0days`;
}

/** Local time of day, with seconds, of a time in ISO 8601 or in milliseconds since 1970. */
export function formatTime(at: string | number): string {
  return new Date(at).toLocaleTimeString(undefined, {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  });
}

function trim(value: number): string {
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return String(Number(value.toFixed(Math.min(digits, 6))));
}
