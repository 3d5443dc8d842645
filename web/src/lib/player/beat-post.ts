/** Sends queued beats and keeps them in localStorage until the server has them. One for the whole page. */

import { call } from '../api';
import { reach } from '../reach';
import { Refusal } from '../refusal';
import { session } from '../session.svelte';
import { dropStored, readStored, storedKeys, writeStored } from '../stored';
import type { Beat } from './beat';
import { BeatQueue, type QueuedBeat, type SendAnswer } from './beat-queue';
import { newId } from './device';

const PREFIX = 'penstock.beats.';
/** No grant lives longer than a day, and the server's memory for repeated beats is bounded too. */
const KEPT_FOR_MS = 24 * 3600 * 1000;

function isQueued(value: unknown): value is QueuedBeat {
  const q = value as QueuedBeat | null;
  return typeof q?.token === 'string' && typeof q.beat?.event_id === 'string' && typeof q.beat.at === 'string';
}

/**
 * What closed or crashed tabs left, under `key` from now on: this tab may be closed before the server takes it.
 * A living tab writes its own again; a beat sent twice counts once.
 */
export function adoptLeftovers(key: string, nowMs: number): QueuedBeat[] {
  const found: QueuedBeat[] = [];
  const left = storedKeys(PREFIX);
  for (const one of left) {
    const kept = readStored<unknown>(one);
    if (Array.isArray(kept)) found.push(...kept.filter(isQueued).filter((q) => nowMs - Date.parse(q.beat.at) < KEPT_FOR_MS));
  }
  found.sort((a, b) => a.token.localeCompare(b.token) || a.beat.seq - b.beat.seq);
  if (found.length === 0 || writeStored(key, found)) for (const one of left) dropStored(one);
  return found;
}

/** What this clock says now: the server corrects one that is off by it. */
const stamped = (beats: readonly Beat[]): (Beat & { sent_at: string })[] => {
  const sent_at = new Date().toISOString();
  return beats.map((beat) => ({ ...beat, sent_at }));
};

class BeatPost {
  url = '/progress';
  #key = PREFIX + newId();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #queue = new BeatQueue(
    (token, userId, beats, asPerson) => this.#send(token, userId, beats, asPerson),
    (beats) => (beats.length > 0 ? writeStored(this.#key, beats) : dropStored(this.#key)),
    adoptLeftovers(this.#key, Date.now()),
  );

  constructor() {
    addEventListener('online', () => void this.flush(true));
    reach.onreturn(() => void this.flush(true));
    if (this.#queue.length > 0) void this.flush();
  }

  /** For diagnostics. */
  get state(): { waiting: number; dropped: number; notBeforeMs: number } {
    return { waiting: this.#queue.length, dropped: this.#queue.dropped, notBeforeMs: this.#queue.notBeforeMs };
  }

  push(token: string, userId: string | null, beat: Beat): void {
    this.#queue.push({ token, user_id: userId, beat });
  }

  async flush(hurry = false): Promise<void> {
    const delay = await this.#queue.flush(Date.now, hurry);
    if (delay === null) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.flush(), delay + 20);
  }

  /** The page may be gone in a moment: hand the beats to the browser. */
  farewell(token: string): void {
    const beats = this.#queue.farewell(token);
    if (beats.length === 0) return;
    const taken = navigator.sendBeacon(this.url, new Blob([JSON.stringify({ token, beats: stamped(beats) })], { type: 'text/plain' }));
    if (!taken) console.info('the browser took no beacon; the beats are sent on the next visit');
  }

  async #send(token: string, userId: string | null, beats: readonly Beat[], asPerson: boolean): Promise<SendAnswer> {
    try {
      let bearer = token;
      if (asPerson) {
        const access = session.person?.id === userId ? await session.accessToken() : null;
        if (!access) return { status: 401, retryAfterS: null, faultPaths: [] };
        bearer = access;
      }
      const response = await call(this.url, { bearer, body: asPerson ? { beats: stamped(beats) } : { token, beats: stamped(beats) } });
      return { status: response.status, retryAfterS: null, faultPaths: [] };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return { status: error.status, retryAfterS: error.retryAfterS, faultPaths: error.fields.map((fault) => fault.path) };
    }
  }
}

export const beatPost = new BeatPost();
