/** One heartbeat, and the arithmetic of what was really watched. Pure; the time is passed in. */

export type BeatEvent = 'start' | 'beat' | 'pause' | 'seek' | 'ended';

export interface Beat {
  content_id: string;
  position_s: number;
  duration_s: number;
  event: BeatEvent;
  seq: number;
  at: string;
  watched_s: number;
  device_type: string;
  playlist_id: string | null;
  session_id: string;
  event_id: string;
}

/** Milliseconds are enough, and floats with 15 digits only make the bodies long. */
export const toMs = (seconds: number): number => Math.round(seconds * 1000) / 1000;

/**
 * Adds up the media seconds that were really played. It is shown the position now and then; what it adds is the way
 * from one look to the next, unless playback could not have gone that far in the time between (a seek, a jump over a hole).
 */
export class WatchedMeter {
  #position: number | null = null;
  #atMs = 0;
  #watchedS = 0;

  /** Playback runs from here. */
  start(positionS: number, nowMs: number): void {
    this.#position = positionS;
    this.#atMs = nowMs;
  }

  look(positionS: number, nowMs: number, rate: number): void {
    if (this.#position === null) return;
    const moved = positionS - this.#position;
    const elapsedS = Math.max(0, nowMs - this.#atMs) / 1000;
    // Half a second of slack: the media clock is read in steps, and timers are late.
    const possible = elapsedS * Math.max(rate, 0.0625) + 0.5;
    if (moved > 0) this.#watchedS += Math.min(moved, possible);
    this.#position = positionS;
    this.#atMs = nowMs;
  }

  /** Paused, waiting or seeking: nothing counts until the next `start`. */
  stop(): void {
    this.#position = null;
  }

  get isRunning(): boolean {
    return this.#position !== null;
  }

  /** What was watched since the last call. */
  take(): number {
    const watched = toMs(this.#watchedS);
    this.#watchedS = 0;
    return watched;
  }
}

/** A position never lies beyond the end: the server refuses such a beat. */
export function placeOf(positionS: number, durationS: number): { position_s: number; duration_s: number } {
  const duration = Number.isFinite(durationS) && durationS > 0 ? toMs(durationS) : 0;
  const position = Number.isFinite(positionS) ? Math.max(0, toMs(positionS)) : 0;
  return { position_s: duration > 0 ? Math.min(position, duration) : position, duration_s: Math.max(duration, 0) };
}
