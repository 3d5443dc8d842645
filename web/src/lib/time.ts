/** How lengths, positions and speeds are written. Pure. */

const two = (n: number): string => String(n).padStart(2, '0');

/** `75.4` -> `1:15`, `3675` -> `1:01:15`. Anything that is not a length is `0:00`. */
export function formatClock(seconds: number | null | undefined): string {
  const whole = Number.isFinite(seconds) ? Math.max(0, Math.floor(seconds as number)) : 0;
  const h = Math.floor(whole / 3600);
  const m = Math.floor((whole % 3600) / 60);
  const s = whole % 60;
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A length for people: `1 h 32 min`, `12 min`, `45 s`; null when it is not known. */
export function formatLength(seconds: number | null | undefined): string | null {
  if (!Number.isFinite(seconds) || (seconds as number) <= 0) return null;
  const whole = Math.round(seconds as number);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const rest = minutes % 60;
  return rest === 0 ? `${minutes / 60} h` : `${Math.floor(minutes / 60)} h ${rest} min`;
}

/** For a screen reader: `1 hour 2 minutes 5 seconds`. */
export function speakClock(seconds: number): string {
  const whole = Math.max(0, Math.floor(Number.isFinite(seconds) ? seconds : 0));
  const parts: string[] = [];
  const say = (n: number, unit: string): void => {
    if (n > 0) parts.push(`${n} ${unit}${n === 1 ? '' : 's'}`);
  };
  say(Math.floor(whole / 3600), 'hour');
  say(Math.floor((whole % 3600) / 60), 'minute');
  say(whole % 60, 'second');
  return parts.join(' ') || '0 seconds';
}

/** What is left of a film or of an encoding: `about 3 min left`. */
export function formatLeft(seconds: number | null | undefined): string | null {
  if (!Number.isFinite(seconds) || (seconds as number) < 0) return null;
  const s = seconds as number;
  if (s < 5) return 'a few seconds left';
  if (s < 55) return `about ${Math.ceil(s / 5) * 5} s left`;
  return `about ${formatLength(Math.ceil(s / 60) * 60)} left`;
}

/** `1536000` -> `1.5 MB`; decimal units, as disks and networks count. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes) || bytes < 0) return '0 B';
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const text = unit === 0 || value >= 99.5 ? value.toFixed(0) : value.toFixed(1);
  return `${text} ${units[unit]}`;
}

/** `2026-11-20T17:00:00Z` against now -> `just now`, `5 min ago`, `3 h ago`, `20 Nov`. */
export function formatAgo(iso: string | null | undefined, nowMs: number): string {
  const at = iso ? Date.parse(iso) : Number.NaN;
  if (Number.isNaN(at)) return '';
  const s = Math.max(0, (nowMs - at) / 1000);
  if (s < 45) return 'just now';
  if (s < 3600) return `${Math.max(1, Math.round(s / 60))} min ago`;
  if (s < 86_400) return `${Math.round(s / 3600)} h ago`;
  return new Date(at).toLocaleDateString(undefined, { day: 'numeric', month: 'short' });
}
