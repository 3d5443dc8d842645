/** This browser as a device: one id for ever, so that a reload takes no second place among the streams. */

import { readStored, writeStored } from '../stored';

const KEY = 'penstock.device';

let remembered: string | null = null;

/** randomUUID exists only in secure contexts; an edge on plain HTTP in a home network is none. */
export function newId(): string {
  if (typeof crypto.randomUUID === 'function') return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

export function deviceId(): string {
  if (remembered) return remembered;
  const kept = readStored<string>(KEY);
  remembered = typeof kept === 'string' && kept.length > 0 && kept.length <= 64 ? kept : newId();
  writeStored(KEY, remembered);
  return remembered;
}

export function deviceType(): string {
  return 'web';
}
