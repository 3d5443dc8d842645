/**
 * Beats that are not known to be on the server's disk. Decides what is sent together, what an answer means and when to
 * try again; knows no network (a `send` is passed in) and no clock but the `now` it is given.
 */

import type { Beat } from './beat';

export interface QueuedBeat {
  token: string;
  /** null: a guest. Only the same person may vouch for the beat later with an access token. */
  user_id: string | null;
  beat: Beat;
}

export interface SendAnswer {
  /** 0: no answer came. */
  status: number;
  retryAfterS: number | null;
  /** Paths of a 422, like `beats[3].position_s`. */
  faultPaths: readonly string[];
}

export type Send = (token: string, userId: string | null, beats: readonly Beat[], asPerson: boolean) => Promise<SendAnswer>;

export const BATCH_MAX = 100;
/** 5 s apart, 720 beats are an hour without a server. */
export const QUEUE_MAX = 720;
const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MAX_MS = 60_000;

/** The next delay: doubles from 1 s to 60 s with up to a quarter of jitter; the server's word counts when it is longer. */
export function backoffMs(failures: number, retryAfterS: number | null, random: number): number {
  const plain = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.max(0, failures - 1));
  return Math.max(plain * (1 + random / 4), (retryAfterS ?? 0) * 1000);
}

/** The beats that a 422 names, by index; null when it names none. */
export function faultyIndexes(paths: readonly string[]): Set<number> | null {
  const found = new Set<number>();
  for (const path of paths) {
    const index = /^(?:beats)?\[(\d+)\]/.exec(path)?.[1];
    if (index !== undefined) found.add(Number(index));
  }
  return found.size > 0 ? found : null;
}

export class BeatQueue {
  #beats: QueuedBeat[];
  #sending = false;
  #failures = 0;
  #notBeforeMs = 0;
  /** Beats that were given up: the queue was full, or the server will never take them. */
  dropped = 0;

  constructor(
    private readonly send: Send,
    private readonly keep: (beats: readonly QueuedBeat[]) => void,
    waiting: readonly QueuedBeat[] = [],
    private readonly random: () => number = Math.random,
  ) {
    this.#beats = waiting.slice(-QUEUE_MAX);
  }

  get length(): number {
    return this.#beats.length;
  }

  get waiting(): readonly QueuedBeat[] {
    return this.#beats;
  }

  get notBeforeMs(): number {
    return this.#notBeforeMs;
  }

  push(queued: QueuedBeat): void {
    this.#beats.push(queued);
    if (this.#beats.length > QUEUE_MAX) {
      // The oldest plain beat says least: a later one of the session holds a newer position.
      const oldest = this.#beats.findIndex((q) => q.beat.event === 'beat');
      this.#beats.splice(Math.max(0, oldest), 1);
      this.dropped += 1;
    }
    this.keep(this.#beats);
  }

  /** The next batch: the longest run from the front with one token. */
  batch(max = BATCH_MAX): QueuedBeat[] {
    const token = this.#beats[0]?.token;
    const end = this.#beats.findIndex((q) => q.token !== token);
    return this.#beats.slice(0, Math.min(end < 0 ? this.#beats.length : end, max));
  }

  /** For sendBeacon: the newest beats of one token. They stay queued, since a beacon does not say whether it arrived. */
  farewell(token: string, max = BATCH_MAX): Beat[] {
    return this.#beats.filter((q) => q.token === token).slice(-max).map((q) => q.beat);
  }

  /** Sends until nothing is left or an answer says to wait. Answers the delay until it is worth calling again, or null. */
  async flush(nowMs: () => number, hurry = false): Promise<number | null> {
    if (this.#sending) return null;
    if (!hurry && nowMs() < this.#notBeforeMs) return this.#notBeforeMs - nowMs();
    this.#sending = true;
    try {
      while (this.#beats.length > 0) {
        const delay = await this.#sendOne(nowMs);
        if (delay !== null) return delay;
      }
      return null;
    } finally {
      this.#sending = false;
    }
  }

  async #sendOne(nowMs: () => number): Promise<number | null> {
    const batch = this.batch();
    const first = batch[0];
    if (!first) return null;
    const beats = batch.map((q) => q.beat);
    let answer = await this.send(first.token, first.user_id, beats, false);
    if ((answer.status === 401 || answer.status === 403 || answer.status === 410) && first.user_id !== null) {
      // The grant has ended but the watching was real: the person vouches for it.
      answer = await this.send(first.token, first.user_id, beats, true);
    }
    if (answer.status >= 200 && answer.status < 300) {
      this.#failures = 0;
      this.#notBeforeMs = 0;
      this.#remove(batch);
    } else if (answer.status === 0 || answer.status === 408 || answer.status === 429 || answer.status >= 500) {
      this.#failures += 1;
      const delay = backoffMs(this.#failures, answer.retryAfterS, this.random());
      this.#notBeforeMs = nowMs() + delay;
      return delay;
    } else {
      // It will never be taken as it is: drop what the server names, else the whole batch, so that the rest can pass.
      const named = answer.status === 422 ? faultyIndexes(answer.faultPaths) : null;
      const refused = named ? batch.filter((_, index) => named.has(index)) : batch;
      const gone = refused.length > 0 ? refused : batch;
      this.dropped += gone.length;
      this.#remove(gone);
    }
    return null;
  }

  #remove(gone: readonly QueuedBeat[]): void {
    const ids = new Set(gone.map((q) => q.beat.event_id));
    this.#beats = this.#beats.filter((q) => !ids.has(q.beat.event_id));
    this.keep(this.#beats);
  }
}
