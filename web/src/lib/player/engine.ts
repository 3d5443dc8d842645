/** What the player needs of a streaming engine, whichever brings the bytes: hls.js, or the browser itself. */

import type Hls from 'hls.js';
import type { Refusal } from '../refusal';
import type { Grant } from './grant';

export interface Quality {
  /** The engine's number. */
  index: number;
  /** 0 for sound only. */
  height: number;
  bitrate_bps: number;
  label: string;
}

export interface Track {
  index: number;
  label: string;
}

export interface EngineEvents {
  qualities(list: Quality[]): void;
  /** The quality on screen, or -1. */
  quality(index: number): void;
  audioTracks(list: Track[], current: number): void;
  textTracks(list: Track[], current: number): void;
  hasVideo(yes: boolean): void;
  /** Waiting for the network, and for how many tries; 0 when bytes flow again. */
  trouble(tries: number): void;
  /** It cannot go on by itself. */
  failed(why: Refusal): void;
  /** A new grant for the same title, or a Refusal. */
  renew(): Promise<Grant>;
}

export interface Engine {
  /** null with the browser's own engine. */
  readonly hls: Hls | null;
  /** -1 is automatic. */
  choose(quality: number): void;
  chooseAudio(track: number): void;
  /** -1 is off. */
  chooseText(track: number): void;
  destroy(): void;
}

/** Two renewals in a row without one byte between them: the new grant is refused too. */
export const RENEWALS_MAX = 2;

/** `1 s, 2 s, 4 s, 4 s ...`: nobody wants to look longer than that at a picture that could go on. */
export function patienceMs(tries: number): number {
  return Math.min(4000, 1000 * 2 ** Math.max(0, tries - 1));
}

export function qualityLabel(height: number, bitrate_bps: number): string {
  return height > 0 ? `${height}p` : `${Math.round(bitrate_bps / 1000)} kb/s`;
}

/** `en` -> `English` in the reader's own language; the code itself where the browser does not know it. */
export function languageName(code: string | undefined): string | null {
  if (!code || code === 'und') return null;
  try {
    return new Intl.DisplayNames(undefined, { type: 'language' }).of(code) ?? code;
  } catch (cause) {
    console.debug(`${code} is no language tag`, cause);
    return code;
  }
}
